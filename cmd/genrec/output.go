package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"
)

// jsonFlag is the flag of commands that print results: one JSON object, or one per line if
// there are several. Logs and progress go to stderr.
func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "print JSON"} }

// narration returns where to print what precedes a result: stderr with --json, else stdout.
func narration(cmd *cli.Command) io.Writer {
	if cmd.Bool("json") {
		return cmd.Root().ErrWriter
	}
	return cmd.Root().Writer
}

// printResult prints the only result of a command: as JSON with --json, else the line.
func printResult(cmd *cli.Command, result any, line string) error {
	out := cmd.Root().Writer
	if cmd.Bool("json") {
		return json.NewEncoder(out).Encode(result)
	}
	_, err := fmt.Fprintln(out, line)
	return err
}

// encodeLines prints each value as a line of JSON.
func encodeLines[T any](out io.Writer, all []T) error {
	lines := json.NewEncoder(out)
	for _, one := range all {
		if err := lines.Encode(one); err != nil {
			return err
		}
	}
	return nil
}
