package inference

import (
	"context"
	"fmt"
	"strings"

	"genrec/pkg/registry"
)

// fleet is the models that serve, side by side. It does not change: another one takes its
// place.
type fleet struct {
	shares []registry.Share     // as they are wanted
	models map[string]Generator // those of them that could be loaded
	leader string               // of the loaded ones, that with the largest share
}

func newFleet(shares []registry.Share, models map[string]Generator) fleet {
	f := fleet{shares: shares, models: models}
	var loaded []registry.Share
	for _, s := range shares {
		if models[s.Version] != nil {
			loaded = append(loaded, s)
		}
	}
	f.leader = registry.Largest(loaded)
	return f
}

// versionFor says which model serves a user: their own, or the leader in place of one that
// could not be loaded.
func (f fleet) versionFor(user string) string {
	if len(f.models) == 1 {
		return f.leader
	}
	version := registry.VersionFor(f.shares, user)
	if f.models[version] == nil {
		return f.leader
	}
	return version
}

// String names what is served, and that is also how a change is known again.
func (f fleet) String() string {
	parts := make([]string, len(f.shares))
	for i, s := range f.shares {
		parts[i] = fmt.Sprintf("%s:%d", s.Version, s.Percent)
	}
	return strings.Join(parts, " ")
}

// closeModels closes those of a fleet that another one does not have.
func (r *run) closeModels(ctx context.Context, f, next fleet) {
	for version, model := range f.models {
		if next.models[version] != model {
			r.closeModel(ctx, model)
		}
	}
}
