package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/pkg/registry"
)

func modelsCommand() *cli.Command {
	return &cli.Command{
		Name:  "models",
		Usage: "list the model versions, and say which of them serve",
		Description: `The versions lie in a folder or in a bucket, as --models says. Workers notice what
changes within a second.

Example:   genrec models list --models s3://shop/genrec`,
		Commands: []*cli.Command{
			modelsListCommand(), modelsShowCommand(), modelsPromoteCommand(), modelsRollbackCommand(), modelsSplitCommand(), modelsCompareCommand(), modelsPruneCommand(),
		},
	}
}

// modelsSubcommand is one that works on the registry alone.
func modelsSubcommand(name, arguments, usage, description string, do func(context.Context, *cli.Command, *registry.Registry) error, flags ...cli.Flag) *cli.Command {
	return &cli.Command{
		Name: name, ArgsUsage: arguments, Usage: usage, Description: description,
		Flags: join(registryFlags(), []cli.Flag{jsonFlag()}, flags),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			models, err := existingRegistry(ctx, cmd)
			if err != nil {
				return err
			}
			err = do(ctx, cmd, models)
			if errors.Is(err, fs.ErrNotExist) && cmd.Args().Present() {
				err = fmt.Errorf("%w: genrec models list shows which versions there are", err)
			}
			return err
		},
	}
}

func modelsPromoteCommand() *cli.Command {
	return modelsSubcommand("promote", "VERSION", "let one version serve all users",
		`Also a version that was refused when it was published: by hand, everything goes.

Example:   genrec models promote v000012 --models /srv/models`,
		func(ctx context.Context, cmd *cli.Command, models *registry.Registry) error {
			version, err := oneVersion(cmd)
			if err != nil {
				return err
			}
			return setServing(ctx, cmd, models, []registry.Share{{Version: version, Percent: 100}})
		})
}

func modelsSplitCommand() *cli.Command {
	return modelsSubcommand("split", "VERSION:PERCENT VERSION:PERCENT…", "divide the users among versions, to compare them",
		`The percentages must add up to 100. A user stays with a version as long as its share does
not shrink beside the others'. "genrec models promote" ends the split.

Example:   genrec models split v000012:90 v000013:10 --models /srv/models`,
		func(ctx context.Context, cmd *cli.Command, models *registry.Registry) error {
			shares, err := registry.ParseShares(cmd.Args().Slice())
			if err != nil {
				return settings.Join(err)
			}
			return setServing(ctx, cmd, models, shares)
		})
}

func modelsRollbackCommand() *cli.Command {
	return modelsSubcommand("rollback", "", "return to what was served before",
		`Once more goes back one step more. What it returns from is kept, and can be promoted again.

Example:   genrec models rollback --models /srv/models`,
		func(ctx context.Context, cmd *cli.Command, models *registry.Registry) error {
			shares, err := models.Rollback(ctx)
			if err != nil {
				return err
			}
			return printServing(cmd, shares)
		})
}

func modelsPruneCommand() *cli.Command {
	return modelsSubcommand("prune", "", "remove old versions",
		`Keeps the newest versions, what is served, and what was served before it, so that a
rollback stays possible. Also removes what killed trainings have left, after a day.

Example, in a crontab:   0 5 * * *  genrec models prune --keep 10 --models /srv/models`,
		func(ctx context.Context, cmd *cli.Command, models *registry.Registry) error {
			removed, err := models.Prune(ctx, cmd.Int("keep"))
			return errors.Join(err, printRemoved(cmd, removed))
		},
		&cli.IntFlag{Name: "keep", Value: 10, Usage: "so many of the newest versions", Validator: atLeast(1)})
}

func printRemoved(cmd *cli.Command, removed []string) error {
	line := "nothing to remove"
	if len(removed) > 0 {
		line = "removed " + strings.Join(removed, ", ")
	}
	return printResult(cmd, map[string][]string{"removed": append([]string{}, removed...)}, line)
}

// setServing makes versions serve, and says so where one of them was refused.
func setServing(ctx context.Context, cmd *cli.Command, models *registry.Registry, shares []registry.Share) error {
	if err := models.SetServing(ctx, shares); err != nil {
		return err
	}
	for _, s := range shares {
		m, err := models.Manifest(ctx, s.Version)
		if err != nil {
			return err
		}
		if m.State == registry.StateRefused {
			fmt.Fprintf(cmd.Root().ErrWriter, "%s was refused when it was published: %s\n", s.Version, printable(m.Reason))
		}
	}
	return printServing(cmd, shares)
}

func printServing(cmd *cli.Command, shares []registry.Share) error {
	out := cmd.Root().Writer
	if cmd.Bool("json") {
		return json.NewEncoder(out).Encode(map[string][]registry.Share{"serving": shares})
	}
	return writeLine(out, "serving", shares)
}

func writeLine(out io.Writer, what string, shares []registry.Share) error {
	parts := make([]string, len(shares))
	for i, s := range shares {
		parts[i] = fmt.Sprintf("%s %d %%", s.Version, s.Percent)
	}
	_, err := fmt.Fprintf(out, "%s %s\n", what, strings.Join(parts, ", "))
	return err
}

func oneVersion(cmd *cli.Command) (string, error) {
	if cmd.Args().Len() != 1 {
		return "", settings.Join(fmt.Errorf("one version is needed, not %d: genrec models list shows them", cmd.Args().Len()))
	}
	return cmd.Args().First(), nil
}
