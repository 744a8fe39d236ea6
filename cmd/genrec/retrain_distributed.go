package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"

	"github.com/urfave/cli/v3"

	"genrec/model/dist"
	"genrec/retrain"
)

func ranksFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{
			Name: "nproc", Value: 1,
			Usage:     "`NUMBER` of processes that train together on this machine, each on its own GPU or on its share of the cores; ignored if RANK is set by a launcher such as torchrun",
			Validator: atLeast(1),
		},
	}
}

// inRanks trains in this process alone, in --nproc processes, or as the rank that environment
// variables such as RANK assign to this process.
func inRanks(ctx context.Context, cmd *cli.Command, train func(context.Context, *cli.Command, *dist.Group, int) error) error {
	rank, isRank, err := dist.FromEnv()
	switch n := cmd.Int("nproc"); {
	case err != nil:
		return err
	case isRank:
		return asRank(ctx, cmd, rank, train)
	case n > 1:
		return launchRanks(ctx, n, os.Args[1:]...)
	}
	return train(ctx, cmd, nil, 0)
}

// launchRanks runs this program as n ranks. The exit code of rank 0 becomes the error.
func launchRanks(ctx context.Context, n int, arguments ...string) error {
	err := dist.Launch(ctx, n, dist.GracePeriod, arguments...)
	if rank0 := (*exec.ExitError)(nil); errors.As(err, &rank0) && exitCodes[rank0.ExitCode()] != nil {
		return fmt.Errorf("%w: see the log of rank 0", exitCodes[rank0.ExitCode()])
	}
	return err
}

// asRank joins the other ranks: rank 0 runs train, the others work for it.
func asRank(ctx context.Context, cmd *cli.Command, rank dist.RankInfo, train func(context.Context, *cli.Command, *dist.Group, int) error) error {
	if err := rank.SelectGPU(); err != nil {
		return err
	}
	device, err := chosenDevice(cmd)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	group, err := dist.Join(ctx, cancel, dist.DefaultConfig(rank))
	if err != nil {
		return err
	}
	defer group.Close()
	if group.Rank > 0 {
		return retrain.RunWorker(ctx, group, device, rank.Cores(), slog.Default())
	}
	err = train(ctx, cmd, group, rank.Cores())
	if errors.Is(err, context.Canceled) {
		err = context.Cause(ctx) // names the rank that failed, if one did
	}
	if errors.Is(err, dist.ErrPeerLost) {
		return err
	}
	if errors.Is(err, retrain.ErrRefused) || errors.Is(err, retrain.ErrWaiting) || errors.Is(err, retrain.ErrNoData) { // the training itself succeeded
		return errors.Join(err, group.End(nil))
	}
	return errors.Join(err, group.End(err))
}
