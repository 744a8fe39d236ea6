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
	"genrec/pkg/textfile"
)

func modelsCommand() *cli.Command {
	return &cli.Command{
		Name:  "models",
		Usage: "list model versions and choose which of them serve",
		Description: `Model versions are in a folder or in a bucket (--models). infer notices changes within a
second.

Example:   genrec models list --models s3://shop/genrec`,
		Commands: []*cli.Command{
			modelsListCommand(), modelsShowCommand(), modelsPromoteCommand(), modelsRollbackCommand(), modelsSplitCommand(), modelsCompareCommand(), modelsPruneCommand(),
		},
	}
}

// modelsSubcommand is a command that works on the registry.
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
				err = fmt.Errorf("%w: genrec models list prints all versions", err)
			}
			return err
		},
	}
}

func modelsPromoteCommand() *cli.Command {
	return modelsSubcommand("promote", "VERSION", "make one version serve all users",
		`Promotes any version, even one that the gate refused.

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
	return modelsSubcommand("split", "VERSION:PERCENT VERSION:PERCENT…", "split the users among versions, for an A/B test",
		`The percentages must add up to 100. A user keeps a version unless its share decreases.
"genrec models promote" ends the split.

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
	return modelsSubcommand("rollback", "", "return to the versions that served before the last change",
		`Repeat it to go back further. The version that it replaces is kept and can be promoted
again.

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
		`Keeps the newest versions, those that serve, and those that served before, so that a
rollback stays possible. Also removes leftovers of trainings that were killed more than a
day ago.

Example, in a crontab:   0 5 * * *  genrec models prune --keep 10 --models /srv/models`,
		func(ctx context.Context, cmd *cli.Command, models *registry.Registry) error {
			removed, err := models.Prune(ctx, cmd.Int("keep"))
			return errors.Join(err, printRemoved(cmd, removed))
		},
		&cli.IntFlag{Name: "keep", Value: 10, Usage: "`NUMBER` of the newest versions to keep", Validator: atLeast(1)})
}

func printRemoved(cmd *cli.Command, removed []string) error {
	line := "nothing to remove"
	if len(removed) > 0 {
		line = "removed " + strings.Join(removed, ", ")
	}
	return printResult(cmd, map[string][]string{"removed": append([]string{}, removed...)}, line)
}

// setServing makes versions serve, and notes if the gate had refused one of them.
func setServing(ctx context.Context, cmd *cli.Command, models *registry.Registry, shares []registry.Share) error {
	if err := models.PromoteShares(ctx, shares); err != nil {
		return err
	}
	for _, s := range shares {
		m, err := models.Manifest(ctx, s.Version)
		if err != nil {
			return err
		}
		if m.State == registry.StateRefused {
			fmt.Fprintf(cmd.Root().ErrWriter, "%s was refused by the gate: %s\n", s.Version, textfile.Printable(m.Reason))
		}
	}
	return printServing(cmd, shares)
}

func printServing(cmd *cli.Command, shares []registry.Share) error {
	out := cmd.Root().Writer
	if cmd.Bool("json") {
		return json.NewEncoder(out).Encode(map[string][]registry.Share{"serving": shares})
	}
	return printShares(out, "serving", shares)
}

func printShares(out io.Writer, what string, shares []registry.Share) error {
	parts := make([]string, len(shares))
	for i, s := range shares {
		parts[i] = fmt.Sprintf("%s %d %%", s.Version, s.Percent)
	}
	_, err := fmt.Fprintf(out, "%s %s\n", what, strings.Join(parts, ", "))
	return err
}

func oneVersion(cmd *cli.Command) (string, error) {
	if cmd.Args().Len() != 1 {
		return "", settings.Join(fmt.Errorf("name one version, not %d: genrec models list prints all versions", cmd.Args().Len()))
	}
	return cmd.Args().First(), nil
}
