package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/urfave/cli/v3"
)

// build is what this program was made of.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"` // since the revision
	Go       string `json:"go"`
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print what this program was built from",
		Description: `Names the version, the revision of its source, and the Go that compiled it.

Example:   genrec version --json`,
		Flags: []cli.Flag{jsonFlag()},
		Action: func(_ context.Context, cmd *cli.Command) error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				return errors.New("this program does not know what it was built from")
			}
			b := build{Version: info.Main.Version, Go: info.GoVersion}
			for _, s := range info.Settings {
				switch s.Key {
				case "vcs.revision":
					b.Revision = s.Value
				case "vcs.time":
					b.Time = s.Value
				case "vcs.modified":
					b.Modified = s.Value == "true"
				}
			}
			if cmd.Bool("json") {
				return json.NewEncoder(cmd.Root().Writer).Encode(b)
			}
			_, err := fmt.Fprintf(cmd.Root().Writer, "genrec %s, revision %s of %s, %s\n", b.Version, b.Revision, b.Time, b.Go)
			return err
		},
	}
}
