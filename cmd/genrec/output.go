package main

import (
	"encoding/json"
	"fmt"
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

// printResult prints a command's only result: as JSON where that is asked for, or else what
// it comes to in a line.
func printResult(cmd *cli.Command, result any, line string) error {
	out := cmd.Root().Writer
	if cmd.Bool("json") {
		return json.NewEncoder(out).Encode(result)
	}
	_, err := fmt.Fprintln(out, line)
	return err
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
