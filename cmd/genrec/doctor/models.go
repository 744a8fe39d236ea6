package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"genrec/inference"
	"genrec/inference/versions"
	"genrec/model"
	"genrec/pkg/registry"
)

// ModelSubject is the subject of the findings on model versions.
const ModelSubject = "model"

// Models checks that every version that serves is complete, loads, and recommends items.
type Models struct {
	Registry *registry.Registry // nil if its folder does not exist yet
	Location string             // of the registry, without credentials
	Device   model.Device       // the device to load versions on
	Ranker   model.RankerConfig // how infer would run them
	Redis    *Redis             // where infer writes; nil: not checked
}

// Check is the Check.
func (m Models) Check(ctx context.Context) (all []Finding) {
	none := ok(ModelSubject, "no version in %s yet: genrec retrain creates the first one", m.Location)
	if m.Registry == nil {
		return []Finding{none}
	}
	shares, err := m.Registry.Serving(ctx)
	if errors.Is(err, registry.ErrNoVersion) {
		return []Finding{none}
	}
	if err != nil {
		return []Finding{failed(ModelSubject, err, "choose a version that serves: genrec models promote VERSION")}
	}
	loaded, similarItems := false, false
	for _, share := range shares {
		tried, err := m.try(ctx, share.Version)
		if err != nil {
			all = append(all, failed(ModelSubject, err, "return to the version that served before: genrec models rollback"))
			continue
		}
		loaded, similarItems = true, similarItems || tried.similarItems
		all = append(all, ok(ModelSubject, "%s serves %d %% of the users; it is complete, loads in %v and recommends %d items",
			share.Version, share.Percent, tried.loadTime.Round(time.Millisecond), tried.items))
	}
	if loaded && m.Redis != nil {
		all = append(all, m.Redis.checkSharedKeys(ctx, similarItems)...)
	}
	return all
}

// trial is what a version did when it was tried.
type trial struct {
	loadTime     time.Duration
	items        int  // recommended
	similarItems bool // the version has similar items
}

// try loads a version, which verifies its checksums, and requests one list from it.
func (m Models) try(ctx context.Context, version string) (t trial, err error) {
	start := time.Now()
	all := &versions.Versions{Registry: m.Registry, Device: m.Device, Ranker: m.Ranker}
	generator, err := all.Load(ctx, version)
	if err != nil {
		return t, err
	}
	t.loadTime = time.Since(start)
	defer func() { err = errors.Join(err, generator.Close()) }()
	generated, err := generator.Generate(ctx, []inference.Request{{User: "doctor"}})
	if err != nil {
		return t, err
	}
	if t.items = len(generated.Lists[0]); t.items == 0 {
		return t, fmt.Errorf("model %q recommends no items", version)
	}
	for range generator.SimilarItems() {
		t.similarItems = true
		break
	}
	return t, nil
}
