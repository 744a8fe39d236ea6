// Package compare compares model versions: offline, by the metrics of their training, and
// online, by how often users went on to interact with what a version had recommended.
//
// Online hit rates have a 95 % Wilson interval. Two versions are tested for a difference only
// over the days on which both have interactions, so that a busy or a quiet day does not count
// as a difference of the models.
package compare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"text/tabwriter"
	"time"

	"genrec/pkg/registry"
	"genrec/retrain"
	"genrec/sessions"
)

// Comparison is the result for all compared versions.
type Comparison struct {
	Versions []Version `json:"versions"` // in the order requested
	Tests    []Test    `json:"tests"`    // of each pair with interactions on the same days
}

// Version is one of the compared versions.
type Version struct {
	Version string          `json:"version"`           // its name
	Percent int             `json:"percent"`           // of the users that it serves
	Offline *retrain.Report `json:"offline,omitempty"` // nil without metrics.json
	Online  *Online         `json:"online,omitempty"`  // nil without interactions

	days map[string]proportion // hits among interactions, by day
}

// Online is what users did after they were recommended a version's lists.
type Online struct {
	Users        int64   `json:"users"`        // with at least one interaction
	Interactions int64   `json:"interactions"` // after a list of the version
	Hits         int64   `json:"hits"`         // interactions with a recommended item
	HitRate      float64 `json:"hit_rate"`     // hits per interaction
	Low          float64 `json:"low"`          // lower bound of the 95 % interval of the hit rate
	High         float64 `json:"high"`         // its upper bound
}

// Test compares the hit rates of two versions on the days on which both have interactions.
type Test struct {
	Versions   [2]string `json:"versions"`   // the compared versions
	Days       int       `json:"days"`       // on which both have interactions
	Difference float64   `json:"difference"` // of the hit rates, second minus first
	P          float64   `json:"p"`          // p-value of the two-sided z-test
}

// HitReader reads the hit counts of a version. *sessions.Store implements it.
type HitReader interface {
	DailyHits(ctx context.Context, version string, days []string) (daily []sessions.DailyHits, users int64, err error)
}

// LastDays returns the last n days, today included, oldest first.
func LastDays(now time.Time, n int) []string {
	days := make([]string, n)
	for i := range days {
		days[i] = sessions.Day(now.AddDate(0, 0, i+1-n))
	}
	return days
}

// Versions compares the named versions, or all if none is named, with the hit counts of
// the days; hits may be nil.
func Versions(ctx context.Context, models *registry.Registry, hits HitReader, versions, days []string) (c Comparison, err error) {
	if len(versions) == 0 {
		if versions, err = models.Versions(ctx); err != nil {
			return c, err
		}
	}
	described, err := models.Describe(ctx, versions...)
	if err != nil {
		return c, err
	}
	c.Versions, c.Tests = []Version{}, []Test{}
	for _, info := range described {
		v := Version{Version: info.Version, Percent: info.Percent}
		if err := v.readOffline(ctx, models); err != nil {
			return c, err
		}
		if hits != nil {
			if err := v.readOnline(ctx, hits, days); err != nil {
				return c, err
			}
		}
		for _, other := range c.Versions {
			if test := testHitRates(other, v); test.Days > 0 {
				c.Tests = append(c.Tests, test)
			}
		}
		c.Versions = append(c.Versions, v)
	}
	return c, nil
}

func (v *Version) readOffline(ctx context.Context, models *registry.Registry) error {
	report, err := retrain.ReadReport(ctx, models, v.Version)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	v.Offline = &report
	return err
}

func (v *Version) readOnline(ctx context.Context, hits HitReader, days []string) error {
	daily, users, err := hits.DailyHits(ctx, v.Version, days)
	if err != nil {
		return err
	}
	v.days = make(map[string]proportion)
	var total proportion
	for _, o := range daily {
		v.days[o.Day] = proportion{successes: o.Hits, trials: o.Interactions}
		total.successes += o.Hits
		total.trials += o.Interactions
	}
	if total.trials > 0 {
		low, high := total.wilson()
		v.Online = &Online{Users: users, Interactions: total.trials, Hits: total.successes, HitRate: total.rate(), Low: low, High: high}
	}
	return nil
}

func testHitRates(a, b Version) Test {
	test := Test{Versions: [2]string{a.Version, b.Version}}
	var ofA, ofB proportion
	for day, first := range a.days {
		second, both := b.days[day]
		if !both {
			continue
		}
		test.Days++
		ofA = proportion{successes: ofA.successes + first.successes, trials: ofA.trials + first.trials}
		ofB = proportion{successes: ofB.successes + second.successes, trials: ofB.trials + second.trials}
	}
	test.Difference, test.P = ofB.rate()-ofA.rate(), zTest(ofA, ofB)
	return test
}

// Print writes a table of the versions, and a line for each test.
func (c Comparison) Print(out io.Writer) error {
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
