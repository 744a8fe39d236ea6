package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"genrec/pkg/proportion"
	"genrec/pkg/registry"
	"genrec/retrain"
	"genrec/sessions"
)

func modelsCompareCommand() *cli.Command {
	return modelsSubcommand("compare", "[VERSION…]", "print how good versions were in their training, and what came of their recommendations",
		`Online figures are read from --redis: users who did something after a version's
recommendations, what they did, and how often it was what had been recommended, with a
95 % interval. Two versions with figures of the same days are tested for a difference.
Without arguments, all versions are compared.

Example:   genrec models compare --redis redis:6379 --models /srv/models`,
		func(ctx context.Context, cmd *cli.Command, models *registry.Registry) (err error) {
			var s servers
			var store *sessions.Store
			if cmd.String("redis") != "" {
				if err := s.openStore(ctx, cmd); err != nil {
					return errors.Join(err, s.close())
				}
				store = s.store
			}
			c, err := compareVersions(ctx, models, store, cmd.Args().Slice(), lastDays(time.Now(), cmd.Int("days")))
			if err := errors.Join(err, s.close()); err != nil {
				return err
			}
			if cmd.Bool("json") {
				return json.NewEncoder(cmd.Root().Writer).Encode(c)
			}
			return c.print(cmd.Root().Writer)
		},
		join(redisFlags(), []cli.Flag{&cli.IntFlag{
			Name: "days", Value: 7, Usage: "of online figures, today included, at most 90", Validator: between(1, 90),
		}})...)
}

// lastDays ends with today.
func lastDays(now time.Time, n int) []string {
	days := make([]string, n)
	for i := range days {
		days[i] = sessions.Day(now.AddDate(0, 0, i+1-n))
	}
	return days
}

// comparison is what compare prints.
type comparison struct {
	Versions []comparedVersion `json:"versions"`
	Tests    []versionTest     `json:"tests"`
}

type comparedVersion struct {
	Version string          `json:"version"`
	Percent int             `json:"percent"`           // of the users that it serves
	Offline *retrain.Report `json:"offline,omitempty"` // nil without metrics.json
	Online  *onlineFigures  `json:"online,omitempty"`  // nil without interactions

	days map[string]proportion.Of
}

type onlineFigures struct {
	Users        int64   `json:"users"`
	Interactions int64   `json:"interactions"`
	Hits         int64   `json:"hits"`
	HitRate      float64 `json:"hit_rate"`
	Low          float64 `json:"low"` // of the 95 % interval
	High         float64 `json:"high"`
}

// versionTest compares hit rates of the days on which both versions have some.
type versionTest struct {
	Versions   [2]string `json:"versions"`
	Days       int       `json:"days"`
	Difference float64   `json:"difference"` // of the hit rates, second less first
	P          float64   `json:"p"`
}

func compareVersions(ctx context.Context, models *registry.Registry, store *sessions.Store, versions, days []string) (c comparison, err error) {
	if len(versions) == 0 {
		if versions, err = models.Versions(ctx); err != nil {
			return c, err
		}
	}
	standing, err := models.Standing(ctx)
	if err != nil {
		return c, err
	}
	c.Versions, c.Tests = []comparedVersion{}, []versionTest{}
	for _, version := range versions {
		line, err := describe(ctx, models, version, standing)
		if err != nil {
			return c, err
		}
		v := comparedVersion{Version: version, Percent: line.Percent}
		if err := v.readOffline(ctx, models); err != nil {
			return c, err
		}
		if store != nil {
			if err := v.readOnline(ctx, store, days); err != nil {
				return c, err
			}
		}
		for _, other := range c.Versions {
			if test := testVersions(other, v); test.Days > 0 {
				c.Tests = append(c.Tests, test)
			}
		}
		c.Versions = append(c.Versions, v)
	}
	return c, nil
}

func (v *comparedVersion) readOffline(ctx context.Context, models *registry.Registry) error {
	report, err := retrain.ReadReport(ctx, models, v.Version)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	v.Offline = &report
	return err
}

func (v *comparedVersion) readOnline(ctx context.Context, store *sessions.Store, days []string) error {
	outcomes, users, err := store.Outcomes(ctx, v.Version, days)
	if err != nil {
		return err
	}
	v.days = make(map[string]proportion.Of)
	var all proportion.Of
	for _, o := range outcomes {
		v.days[o.Day] = proportion.Of{Successes: o.Hits, Trials: o.Interactions}
		all.Successes += o.Hits
		all.Trials += o.Interactions
	}
	if all.Trials > 0 {
		low, high := all.Wilson()
		v.Online = &onlineFigures{Users: users, Interactions: all.Trials, Hits: all.Successes, HitRate: all.Rate(), Low: low, High: high}
	}
	return nil
}

func testVersions(a, b comparedVersion) versionTest {
	test := versionTest{Versions: [2]string{a.Version, b.Version}}
	var ofA, ofB proportion.Of
	for day, first := range a.days {
		second, both := b.days[day]
		if !both {
			continue
		}
		test.Days++
		ofA = proportion.Of{Successes: ofA.Successes + first.Successes, Trials: ofA.Trials + first.Trials}
		ofB = proportion.Of{Successes: ofB.Successes + second.Successes, Trials: ofB.Trials + second.Trials}
	}
	test.Difference, test.P = ofB.Rate()-ofA.Rate(), proportion.Test(ofA, ofB)
	return test
}

func (c comparison) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tSERVES\tHR@10\tNDCG@10\tUSERS\tINTERACTIONS\tHITS\tHIT RATE\t95 %")
	for _, v := range c.Versions {
		fmt.Fprintf(table, "%s\t%d %%\t", v.Version, v.Percent)
		if m := v.Offline; m != nil {
			fmt.Fprintf(table, "%.4f\t%.4f\t", m.LeaveOneOut.HR10, m.LeaveOneOut.NDCG10)
		} else {
			fmt.Fprint(table, "\t\t")
		}
		if o := v.Online; o != nil {
			fmt.Fprintf(table, "%d\t%d\t%d\t%.4f\t%.4f to %.4f", o.Users, o.Interactions, o.Hits, o.HitRate, o.Low, o.High)
		} else {
			fmt.Fprint(table, "\t0\t\t\t")
		}
		fmt.Fprintln(table)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for i, t := range c.Tests {
		if i == 0 {
			fmt.Fprintln(out)
		}
		if _, err := fmt.Fprintf(out, "%s against %s, %d days: hit rate %+.4f, p = %.4f\n", t.Versions[1], t.Versions[0], t.Days, t.Difference, t.P); err != nil {
			return err
		}
	}
	return nil
}
