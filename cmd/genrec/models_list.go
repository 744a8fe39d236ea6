package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"genrec/pkg/registry"
	"genrec/retrain"
)

func modelsListCommand() *cli.Command {
	return modelsSubcommand("list", "", "print all versions",
		`Oldest first, with the part of the users that each serves, and what served before,
to which a rollback returns. A version that was refused has the reason.

Example:   genrec models list --models /srv/models`,
		func(ctx context.Context, cmd *cli.Command, models *registry.Registry) error {
			lines, err := versionLines(ctx, models)
			if err != nil {
				return err
			}
			if cmd.Bool("json") {
				return encodeLines(cmd.Root().Writer, lines)
			}
			if len(lines) == 0 {
				_, err := fmt.Fprintln(cmd.Root().Writer, "no versions yet: genrec retrain makes the first one")
				return err
			}
			return printVersions(cmd.Root().Writer, lines)
		})
}

// versionLine is a version as --json prints it.
type versionLine struct {
	registry.Manifest
	Bytes   int64  `json:"bytes"`
	Percent int    `json:"percent"`           // of the users that it serves
	Before  int    `json:"before,omitempty"`  // percent that it served before that
	Problem string `json:"problem,omitempty"` // why its manifest cannot be read
}

func versionLines(ctx context.Context, models *registry.Registry) (lines []versionLine, err error) {
	versions, err := models.Versions(ctx)
	if err != nil {
		return nil, err
	}
	standing, err := models.Standing(ctx)
	if err != nil {
		return nil, err
	}
	for _, version := range versions {
		line, err := describe(ctx, models, version, standing)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			line.Version, line.Problem = version, err.Error()
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func describe(ctx context.Context, models *registry.Registry, version string, standing [][]registry.Share) (line versionLine, err error) {
	if line.Manifest, err = models.Manifest(ctx, version); err != nil {
		return line, err
	}
	line.Bytes = line.Manifest.Bytes()
	for i, percent := range []*int{&line.Percent, &line.Before} {
		if i >= len(standing) {
			break
		}
		for _, s := range standing[i] {
			if s.Version == version {
				*percent = s.Percent
			}
		}
	}
	return line, nil
}

func printVersions(out io.Writer, lines []versionLine) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tCREATED\tMB\tFROM\tSTATE\tSERVES")
	for _, l := range lines {
		if l.Problem != "" {
			fmt.Fprintf(table, "%s\t\t\t\tbroken: %s\n", l.Version, printable(l.Problem))
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%.1f\t%s\t%s\t%s\n",
			l.Version, l.Created.Format(time.RFC3339), float64(l.Bytes)/1e6, l.Parent, l.state(), l.serves())
	}
	return table.Flush()
}

func (l versionLine) state() string {
	if l.State == registry.StateRefused {
		return "refused: " + printable(l.Reason)
	}
	return string(l.State)
}

func (l versionLine) serves() string {
	var parts []string
	if l.Percent > 0 {
		parts = append(parts, fmt.Sprintf("%d %%", l.Percent))
	}
	if l.Before > 0 {
		parts = append(parts, fmt.Sprintf("%d %% before", l.Before))
	}
	return strings.Join(parts, ", ")
}

func modelsShowCommand() *cli.Command {
	return modelsSubcommand("show", "VERSION", "print what a version is made of, and how good it was",
		`Prints the files, and the figures that its training measured. With --check it also reads all
of the version, as the workers do, and compares it with the checksums.

Example:   genrec models show v000012 --check --models /srv/models`,
		func(ctx context.Context, cmd *cli.Command, models *registry.Registry) error {
			version, err := oneVersion(cmd)
			if err != nil {
				return err
			}
			standing, err := models.Standing(ctx)
			if err != nil {
				return err
			}
			shown := shownVersion{}
			if shown.versionLine, err = describe(ctx, models, version, standing); err != nil {
				return err
			}
			if shown.Metrics, err = models.ReadFile(ctx, version, retrain.MetricsFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if cmd.Bool("check") {
				if _, err := models.Fetch(ctx, version); err != nil {
					return err
				}
				shown.Checked = true
			}
			if cmd.Bool("json") {
				return json.NewEncoder(cmd.Root().Writer).Encode(shown)
			}
			return shown.print(cmd.Root().Writer)
		},
		&cli.BoolFlag{Name: "check", Usage: "compare all files with their checksums"})
}

// shownVersion is a version as "show --json" prints it.
type shownVersion struct {
	versionLine
	Metrics json.RawMessage `json:"metrics,omitempty"` // the training's own report
	Checked bool            `json:"checked"`
}

func (s shownVersion) print(out io.Writer) error {
	if err := printVersions(out, []versionLine{s.versionLine}); err != nil {
		return err
	}
	var report retrain.Report
	if len(s.Metrics) > 0 {
		if err := json.Unmarshal(s.Metrics, &report); err != nil {
			return fmt.Errorf("decode %s: %w", retrain.MetricsFile, err)
		}
		m := report.LeaveOneOut
		fmt.Fprintf(out, "\nusers %d, items %d, interactions %d, parameters %d\nleave-one-out: HR@10 %.4f, NDCG@10 %.4f over %d users\n",
			report.Users, report.Items, report.Interactions, report.Parameters, m.HR10, m.NDCG10, m.Users)
	}
	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FILE\tBYTES\tSHA-256")
	for _, f := range s.Files {
		fmt.Fprintf(table, "%s\t%d\t%s\n", f.Name, f.Bytes, f.SHA256)
	}
	if err := table.Flush(); err != nil || !s.Checked {
		return err
	}
	_, err := fmt.Fprintln(out, "\nall files are as they were published")
	return err
}
