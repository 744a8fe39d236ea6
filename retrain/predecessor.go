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
	return p, err
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

// inARow is how many warm starts there would be in a row with one more.
func (p *predecessor) inARow() int {
	if before := p.report.WarmStart; before != nil {
		return before.InARow + 1
	}
	return 1
}
