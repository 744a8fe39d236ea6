package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"text/tabwriter"

	"github.com/urfave/cli/v3"

	"genrec/pkg/registry"
	"genrec/retrain"
)

func modelsShowCommand() *cli.Command {
	return modelsSubcommand("show", "VERSION", "print the files and the metrics of a version",
		`Prints the files of a version and the metrics of its training. With --check it also reads
every file, as infer does, and verifies its checksum.

Example:   genrec models show v000012 --check --models /srv/models`,
		func(ctx context.Context, cmd *cli.Command, models *registry.Registry) error {
			version, err := oneVersion(cmd)
			if err != nil {
				return err
			}
			described, err := models.Describe(ctx, version)
			if err != nil {
				return err
			}
			shown := shownVersion{VersionInfo: described[0]}
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
		&cli.BoolFlag{Name: "check", Usage: "verify the checksums of all files"})
}

// shownVersion is a version as models show prints it.
type shownVersion struct {
	registry.VersionInfo
	Metrics json.RawMessage `json:"metrics,omitempty"` // the report of its training
	Checked bool            `json:"checked"`
}

func (s shownVersion) print(out io.Writer) error {
	if err := printVersions(out, []registry.VersionInfo{s.VersionInfo}); err != nil {
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
	_, err := fmt.Fprintln(out, "\nall checksums match")
	return err
}
