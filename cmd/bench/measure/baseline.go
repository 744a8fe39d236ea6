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

// Baseline is a baseline engine in a Python process, which answers each line of JSON on its input with one
// on its output.
type Baseline struct {
	name    string
	command *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
}

// StartBaseline starts a script, sends it the settings, and waits until it is ready. The process is killed
// when ctx ends.
func StartBaseline(ctx context.Context, name, python, script string, threads int, settings map[string]any) (*Baseline, error) {
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
	b := &Baseline{name, command, in, json.NewDecoder(out)}
	var response struct{ Ready bool }
	if err := b.Call(settings, &response); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Call sends a request and decodes the response.
func (b *Baseline) Call(request, response any) error {
	err := json.NewEncoder(b.in).Encode(request)
	if err == nil {
		err = b.out.Decode(response)
	}
	if err != nil {
		return fmt.Errorf("call %s: %w", b.name, err)
	}
	return nil
}

// Close closes the input of the process and waits until it exits.
func (b *Baseline) Close() error {
	if err := errors.Join(b.in.Close(), b.command.Wait()); err != nil {
		return fmt.Errorf("stop %s: %w", b.name, err)
	}
	return nil
}
