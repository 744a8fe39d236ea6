package registry

import (
	"context"
	"errors"
	"io/fs"
)

// VersionInfo is a version with what it serves.
type VersionInfo struct {
	Manifest
	Bytes   int64  `json:"bytes"`             // size of all its files
	Percent int    `json:"percent"`           // of the users that it serves
	Before  int    `json:"before,omitempty"`  // percent that it served before the last change, to which a rollback returns
	Problem string `json:"problem,omitempty"` // why its manifest cannot be read; the other fields are empty then
}

// List describes all versions, oldest first. One whose manifest cannot be read has a Problem.
func (r *Registry) List(ctx context.Context) (all []VersionInfo, err error) {
	versions, err := r.Versions(ctx)
	if err != nil {
		return nil, err
	}
	standing, err := r.Standing(ctx)
	if err != nil {
		return nil, err
	}
	for _, version := range versions {
		info, err := r.describe(ctx, version, standing)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			info.Version, info.Problem = version, err.Error()
		}
		all = append(all, info)
	}
	return all, nil
}

// Describe describes versions, in the order given.
func (r *Registry) Describe(ctx context.Context, versions ...string) (all []VersionInfo, err error) {
	standing, err := r.Standing(ctx)
	if err != nil {
		return nil, err
	}
	for _, version := range versions {
		info, err := r.describe(ctx, version, standing)
		if err != nil {
			return nil, err
		}
		all = append(all, info)
	}
	return all, nil
}

func (r *Registry) describe(ctx context.Context, version string, standing [][]Share) (info VersionInfo, err error) {
	if info.Manifest, err = r.Manifest(ctx, version); err != nil {
		return info, err
	}
	info.Bytes = info.Manifest.Bytes()
	for i, percent := range []*int{&info.Percent, &info.Before} {
		if i >= len(standing) {
			break
		}
		for _, s := range standing[i] {
			if s.Version == version {
				*percent = s.Percent
			}
		}
	}
	return info, nil
}
