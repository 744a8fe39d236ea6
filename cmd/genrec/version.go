package main

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v3"
)

// build describes how this program was built.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"` // the source differs from the revision
	Go       string `json:"go"`
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version of genrec, its source revision and its Go version",
		Description: `Prints the version, the revision of the source, and the Go version that compiled it.

Example:   genrec version --json`,
		Flags: []cli.Flag{jsonFlag()},
		Action: func(_ context.Context, cmd *cli.Command) error {
			b := thisBuild()
			return printResult(cmd, b, "genrec "+b.String())
		},
	}
}

// thisBuild returns the build information of this program; the revision is known if the source
// was in git.
func thisBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build{Version: "unknown", Go: runtime.Version()}
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
	return b
}

func (b build) String() string {
	text := b.Version
	if b.Revision != "" {
		text += ", revision " + b.Revision + " of " + b.Time
	}
	if b.Modified {
		text += ", modified"
	}
	return text + ", " + b.Go
}
