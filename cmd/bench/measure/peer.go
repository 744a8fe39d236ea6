package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
)

// Peer is a child process that answers each line of JSON by another one.
type Peer struct {
	name    string
	command *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
}

// StartPeer runs a script, which ends with the context, and asks it to get ready.
func StartPeer(ctx context.Context, name, python, script string, threads int, settings map[string]any) (*Peer, error) {
	command := exec.CommandContext(ctx, python, script)
	command.Stderr = os.Stderr
	command.Env = append(os.Environ(), "OMP_NUM_THREADS="+strconv.Itoa(threads))
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Peer{name, command, in, json.NewDecoder(out)}
	var answer struct{ Ready bool }
	if err := p.Ask(settings, &answer); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Ask waits for the answer to a question.
func (p *Peer) Ask(question, answer any) error {
	err := json.NewEncoder(p.in).Encode(question)
	if err == nil {
		err = p.out.Decode(answer)
	}
	if err != nil {
		return fmt.Errorf("ask %s: %w", p.name, err)
	}
	return nil
}

// Close lets the process end.
func (p *Peer) Close() error {
	if err := errors.Join(p.in.Close(), p.command.Wait()); err != nil {
		return fmt.Errorf("end %s: %w", p.name, err)
	}
	return nil
}
