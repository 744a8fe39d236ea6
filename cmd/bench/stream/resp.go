package stream

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// aboutConnections are commands that a client sends for itself.
var aboutConnections = map[string]bool{"hello": true, "client": true, "cluster": true, "command": true, "ping": true}

// dataCommands returns what a client sent without the commands about its connections, and how
// many commands that is.
func dataCommands(sent []byte) (p pipeline, err error) {
	for len(sent) > 0 {
		source := bytes.NewReader(sent)
		r := bufio.NewReader(source)
		if err := skipReply(r); err != nil {
			return p, fmt.Errorf("split commands: %w", err)
		}
		size := len(sent) - source.Len() - r.Buffered()
		if !aboutConnections[commandName(sent[:size])] {
			p.bytes = append(p.bytes, sent[:size]...)
			p.commands++
		}
		sent = sent[size:]
	}
	return p, nil
}

// commandName returns the first word of a command, in lower case.
func commandName(command []byte) string {
	lines := bytes.SplitN(command, []byte("\r\n"), 4) // *COUNT, $LENGTH, NAME, the rest
	if len(lines) < 3 {
		return ""
	}
	return strings.ToLower(string(lines[2]))
}

// skipReply reads one value of the Redis protocol, RESP2. An error reply is an error.
func skipReply(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	kind, text := line[0], bytes.TrimRight(line[1:], "\r\n")
	switch kind {
	case '+', ':':
		return nil
	case '-':
		return fmt.Errorf("error reply of Redis: %q", text)
	case '$', '*':
	default:
		return fmt.Errorf("unexpected reply %.100q", line)
	}
	n, err := strconv.Atoi(string(text))
	if err != nil {
		return fmt.Errorf("unexpected reply %.100q", line)
	}
	if kind == '$' {
		if n >= 0 {
			_, err = r.Discard(n + 2) // with the line's end
		}
		return err
	}
	for range n {
		if err := skipReply(r); err != nil {
			return err
		}
	}
	return nil
}
