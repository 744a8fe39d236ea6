package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"genrec/pkg/userstate"
)

// patience is for what needs two slow cores for a while.
const patience = 2 * time.Minute

// eventually waits until something holds. Errors are those of a moment, unless they last.
func (w *world) eventually(ctx context.Context, what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	for {
		done, err := holds()
		if err == nil && done {
			return nil
		}
		if err := w.healthy(); err != nil {
			return err
		}
		last = err
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waited in vain until %s", what), last, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// lists are the users' own recommendations.
func (w *world) lists(ctx context.Context, users []string) ([]userstate.List, error) {
	return w.store.Lists(ctx, users)
}

// served waits until all have a list of their own by the version.
func (w *world) served(ctx context.Context, users []string, version string) error {
	return w.eventually(ctx, fmt.Sprintf("all customers have lists of %s", version), func() (bool, error) {
		lists, err := w.lists(ctx, users)
		for _, list := range lists {
			if list.ModelVersion != version || len(list.Items) == 0 {
				return false, err
			}
		}
		return true, err
	})
}

// settled waits until all lists are of their newest sequences, and returns whose version each
// is of.
func (w *world) settled(ctx context.Context) (versions map[string]string, err error) {
	err = w.eventually(ctx, "all lists are of the newest sequences", func() (bool, error) {
		sequences, err := w.store.Sequences(ctx, w.shop.users)
		if err != nil {
			return false, err
		}
		lists, err := w.lists(ctx, w.shop.users)
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

// divided waits until both versions have made lists of the newest sequences for about half of
// the users each.
func (w *world) divided(ctx context.Context, a, b string) error {
	return w.eventually(ctx, fmt.Sprintf("%s and %s have made lists for half of the customers each", a, b), func() (bool, error) {
		versions, err := w.settled(ctx)
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

// recommended waits until somebody gets the item.
func (w *world) recommended(ctx context.Context, item string) error {
	return w.eventually(ctx, item+" is recommended to somebody", func() (bool, error) {
		lists, err := w.lists(ctx, w.shop.users)
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

// compared waits until both versions have been tried on somebody.
func (w *world) compared(ctx context.Context) error {
	return w.eventually(ctx, "models compare has trials of both versions", func() (bool, error) {
		var compared struct {
			Versions []struct {
				Version string `json:"version"`
				Online  struct {
					Interactions int64 `json:"interactions"`
				} `json:"online"`
			} `json:"versions"`
		}
		_, err := w.genrec(ctx, &compared, "models", "compare", "--json", "--models", w.models, "--redis", w.redis.Address(), "v000001", "v000002")
		tried := 0
		for _, v := range compared.Versions {
			if v.Online.Interactions > 0 {
				tried++
			}
		}
		return tried == 2, err
	})
}

// listed is a version as "models list --json" prints it, one a line.
type listed struct {
	Version string `json:"version"`
	State   string `json:"state"`
	Percent int    `json:"percent"`
	Problem string `json:"problem"`
}

func decodeLines(text string) (all []listed, err error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	for decoder.More() {
		var v listed
		if err := decoder.Decode(&v); err != nil {
			return nil, fmt.Errorf("models list printed %.200q: %w", text, err)
		}
		all = append(all, v)
	}
	return all, nil
}
