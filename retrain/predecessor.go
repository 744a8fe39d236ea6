package retrain

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/pkg/registry"
)

// predecessor is the current version, as far as the next one builds on it: items keep
// their codes, and a warm start goes on from the weights.
type predecessor struct {
	version string
	dir     string
	catalog *catalog.Catalog
	report  Report
	newest  *WarmStart // of the newest version, which may have been refused
}

// predecessor is nil where nothing of the current version goes into the next one.
func (c Config) predecessor(ctx context.Context, models *registry.Registry) (*predecessor, error) {
	if c.Text != catalog.Codes && c.WarmStart.Share == 0 {
		return nil, nil
	}
	version, err := models.Current(ctx)
	if errors.Is(err, registry.ErrNoVersion) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the version that this one follows: %w", err)
	}
	p, err := readPredecessor(ctx, models, version)
	if err != nil && ctx.Err() == nil {
		c.Logger.WarnContext(ctx, "nothing is taken over from the current version, which cannot be read", "version", version, "err", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if p.newest, err = newestStart(ctx, models); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		c.Logger.WarnContext(ctx, "trainings that were refused do not count among those since one from scratch: the newest version cannot be read", "err", err)
		p.newest = p.report.WarmStart
	}
	return p, nil
}

// newestStart is what the newest version went on from.
func newestStart(ctx context.Context, models *registry.Registry) (*WarmStart, error) {
	versions, err := models.Versions(ctx)
	if err != nil {
		return nil, err
	}
	report, err := ReadReport(ctx, models, versions[len(versions)-1]) // there is a current one
	return report.WarmStart, err
}

func readPredecessor(ctx context.Context, models *registry.Registry, version string) (p *predecessor, err error) {
	p = &predecessor{version: version}
	if p.dir, err = models.Fetch(ctx, version); err != nil {
		return nil, err
	}
	if p.catalog, err = catalog.Load(filepath.Join(p.dir, model.CatalogFile)); err != nil {
		return nil, err
	}
	if err := readJSON(filepath.Join(p.dir, MetricsFile), &p.report); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *predecessor) name() string {
	if p == nil {
		return ""
	}
	return p.version
}

// inARow is how many versions in a row would be warm starts with one more.
func (p *predecessor) inARow() int {
	if before := p.report.WarmStart; before != nil {
		return before.InARow + 1
	}
	return 1
}

// runs is how many trainings in a row would be warm starts with one more. The gate may have
// refused some, which the current version knows nothing of: they count, or else a gate that
// refuses every warm start would keep the training from scratch from coming.
func (p *predecessor) runs() int {
	if p.newest != nil {
		return p.newest.Runs + 1
	}
	return 1
}
