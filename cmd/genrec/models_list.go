package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"genrec/pkg/registry"
	"genrec/pkg/textfile"
)

func modelsListCommand() *cli.Command {
	return modelsSubcommand("list", "", "print all versions",
		`Prints all versions, oldest first: the share of the users that each serves now, and the
share that it served before the last change, to which a rollback returns. For a version
that the gate refused, it prints the reason.

Example:   genrec models list --models /srv/models`,
		func(ctx context.Context, cmd *cli.Command, models *registry.Registry) error {
			all, err := models.List(ctx)
			if err != nil {
				return err
			}
			if cmd.Bool("json") {
				return encodeLines(cmd.Root().Writer, all)
			}
			if len(all) == 0 {
				_, err := fmt.Fprintln(cmd.Root().Writer, "no versions yet: genrec retrain creates the first one")
				return err
			}
			return printVersions(cmd.Root().Writer, all)
		})
}

func printVersions(out io.Writer, all []registry.VersionInfo) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tCREATED\tMB\tFROM\tSTATE\tSERVES")
	for _, v := range all {
		if v.Problem != "" {
			fmt.Fprintf(table, "%s\t\t\t\tbroken: %s\n", v.Version, textfile.Printable(v.Problem))
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%.1f\t%s\t%s\t%s\n",
			v.Version, v.Created.Format(time.RFC3339), float64(v.Bytes)/1e6, v.Parent, stateOf(v), servesOf(v))
	}
	return table.Flush()
}

func stateOf(v registry.VersionInfo) string {
	if v.State == registry.StateRefused {
		return "refused: " + textfile.Printable(v.Reason)
	}
	return string(v.State)
}

func servesOf(v registry.VersionInfo) string {
	var parts []string
	if v.Percent > 0 {
		parts = append(parts, fmt.Sprintf("%d %%", v.Percent))
	}
	if v.Before > 0 {
		parts = append(parts, fmt.Sprintf("%d %% before", v.Before))
	}
	return strings.Join(parts, ", ")
}
