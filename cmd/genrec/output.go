package main

import (
	"encoding/json"
	"io"

	"github.com/urfave/cli/v3"
)

// jsonFlag is that of every command that prints something to read: an object, or one a line
// where there are several. Logs and progress go to stderr.
func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "print JSON"} }

// narration is where what is told on the way to a result goes: with --json, to stderr.
func narration(cmd *cli.Command) io.Writer {
	if cmd.Bool("json") {
		return cmd.Root().ErrWriter
	}
	return cmd.Root().Writer
}

// encodeLines prints each as a line of JSON.
func encodeLines[T any](out io.Writer, all []T) error {
	lines := json.NewEncoder(out)
	for _, one := range all {
		if err := lines.Encode(one); err != nil {
			return err
		}
	}
	return nil
}
