package main

import (
	"encoding/json"
	"io"

	"github.com/urfave/cli/v3"
)

// jsonFlag is that of every command that prints something to read: an object, or one a line
// where there are several. Logs and progress go to stderr.
func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "print JSON"} }

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
