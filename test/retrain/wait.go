package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"genrec/pkg/backoff"
	"genrec/pkg/userstate"
	"genrec/test/harness"
)

// timeout of each wait, sufficient for two slow cores.
const timeout = 2 * time.Minute

// eventually waits until a condition holds. It fails at once when a service has ended; errors of the
// condition count only when the timeout has passed.
func (env *environment) eventually(ctx context.Context, what string, holds func() (bool, error)) error {
	return harness.Eventually(ctx, what, timeout, func(context.Context) error {
		done, err := holds()
		if err == nil && !done {
			err = errors.New("the condition does not hold yet")
		}
		if err != nil {
			return errors.Join(backoff.Permanent(env.healthy()), err)
		}
		return nil
	})
}

// lists returns the users' recommendations, without fallbacks.
func (env *environment) lists(ctx context.Context, users []string) ([]userstate.List, error) {
	return env.store.Lists(ctx, users)
}

// awaitServed waits until all users have a list of the version.
func (env *environment) awaitServed(ctx context.Context, users []string, version string) error {
	return env.eventually(ctx, fmt.Sprintf("all users have lists of %s", version), func() (bool, error) {
		lists, err := env.lists(ctx, users)
		for _, list := range lists {
			if list.ModelVersion != version || len(list.Items) == 0 {
				return false, err
			}
		}
		return true, err
	})
}

// awaitUpToDate waits until all lists were generated from the newest sequences, and returns the version of
// each user's list.
func (env *environment) awaitUpToDate(ctx context.Context) (versions map[string]string, err error) {
	err = env.eventually(ctx, "all lists are generated from the newest sequences", func() (bool, error) {
		sequences, err := env.store.Sequences(ctx, env.shop.users)
		if err != nil {
			return false, err
		}
		lists, err := env.lists(ctx, env.shop.users)
		versions = make(map[string]string)
		for i, list := range lists {
			if list.SequenceVersion != sequences[i].Version {
				return false, err
			}
			versions[list.User] = list.ModelVersion
		}
		return true, err
	})
	return versions, err
}

// awaitSplit waits until each version has generated the up-to-date lists of about half of the users.
func (env *environment) awaitSplit(ctx context.Context, a, b string) error {
	return env.eventually(ctx, fmt.Sprintf("%s and %s have generated lists for half of the users each", a, b), func() (bool, error) {
		versions, err := env.awaitUpToDate(ctx)
		if err != nil {
			return false, err
		}
		of := make(map[string]int)
		for _, version := range versions {
			of[version]++
		}
		least := len(versions) / 3
		return of[a] > least && of[b] > least && of[a]+of[b] == len(versions), nil
	})
}

// awaitRecommended waits until the item is in at least one list.
func (env *environment) awaitRecommended(ctx context.Context, item string) error {
	return env.eventually(ctx, item+" is in a list", func() (bool, error) {
		lists, err := env.lists(ctx, env.shop.users)
		for _, list := range lists {
			for _, of := range list.Items {
				if of.Item == item {
					return true, err
				}
			}
		}
		return false, err
	})
}

// awaitCompared waits until models compare has interactions for both versions.
func (env *environment) awaitCompared(ctx context.Context) error {
	return env.eventually(ctx, "models compare has interactions for both versions", func() (bool, error) {
		var compared struct {
			Versions []struct {
				Version string `json:"version"`
				Online  struct {
					Interactions int64 `json:"interactions"`
				} `json:"online"`
			} `json:"versions"`
		}
		_, err := env.genrec(ctx, &compared, "models", "compare", "--json", "--models", env.models, "--redis", env.servers.Redis.Address(), "v000001", "v000002")
		tried := 0
		for _, v := range compared.Versions {
			if v.Online.Interactions > 0 {
				tried++
			}
		}
		return tried == 2, err
	})
}

// listedVersion is a version as printed by "models list --json", one per line.
type listedVersion struct {
	Version string `json:"version"`
	State   string `json:"state"`
	Percent int    `json:"percent"`
	Problem string `json:"problem"`
}

func decodeLines(text string) (all []listedVersion, err error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	for decoder.More() {
		var v listedVersion
		if err := decoder.Decode(&v); err != nil {
			return nil, fmt.Errorf("models list printed %.200q: %w", text, err)
		}
		all = append(all, v)
	}
	return all, nil
}
