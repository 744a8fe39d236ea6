package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"genrec/ingest"
	"genrec/pkg/stream"
)

// live is the night: each chapter has its assertions.
func (w *world) live(ctx context.Context) error {
	for _, chapter := range []struct {
		name string
		tell func(context.Context) error
	}{
		{"a first model", w.firstModel},
		{"a better one, with new items, and without a customer who was forgotten", w.secondModel},
		{"one that has learned nothing", w.worseModel},
		{"two models side by side", w.sideBySide},
		{"what was served before", w.rollBack},
		{"trainings that are killed", w.killed},
		{"a disk that is full", w.fullDisk},
	} {
		slog.Info(chapter.name)
		if err := errors.Join(chapter.tell(ctx), w.healthy()); err != nil {
			return fmt.Errorf("%s: %w", chapter.name, err)
		}
	}
	return w.halfPublishedIn(ctx, w.models)
}

func (w *world) firstModel(ctx context.Context) error {
	if err := w.visits(ctx, w.shop.users, 8); err != nil {
		return err
	}
	first, err := w.train(ctx)
	if err != nil {
		return err
	}
	if err := check(first.Gate.Promoted, "%s was refused: %s", first.Version, first.Gate.Reason); err != nil {
		return err
	}
	if err := w.served(ctx, w.shop.users, first.Version); err != nil {
		return err
	}
	w.watch(ctx)
	return nil
}

// forgotten is who is forgotten before the second model.
const forgotten = "customer-7"

func (w *world) secondModel(ctx context.Context) error {
	w.shop.items += aisle
	for i := range firstUsers / 10 {
		w.shop.users = append(w.shop.users, fmt.Sprintf("newcomer-%d", i))
	}
	if err := w.visits(ctx, w.shop.users, 4); err != nil {
		return err
	}
	if _, err := w.genrec(ctx, nil, append([]string{"forget", "--user", forgotten}, w.servers()...)...); err != nil {
		return err
	}
	w.shop.forget(forgotten)
	second, err := w.train(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(
		check(second.Gate.Promoted, "%s was refused: %s", second.Version, second.Gate.Reason),
		check(second.Items == w.shop.items, "%s knows %d items, the shop has %d", second.Version, second.Items, w.shop.items),
	); err != nil {
		return err
	}
	// Those who did nothing since are renewed, too.
	if err := w.served(ctx, w.shop.users, second.Version); err != nil {
		return err
	}
	if err := w.recommended(ctx, itemName(firstItems)); err != nil {
		return err
	}
	return w.gone(ctx, forgotten)
}

func (w *world) worseModel(ctx context.Context) error {
	before, err := w.serving(ctx)
	if err != nil {
		return err
	}
	worse, err := w.train(ctx, "--from-scratch", "--stage", "finetune", "--finetune-epochs", "1", "--set", "every_prefix=false",
		"--set", "choose_weights=false", "--set", "model.genrec_dense_weight=0", "--set", "model.genrec_sequential_weight=0", "--set", "model.genrec_association_weight=0")
	if err != nil {
		return err
	}
	after, err := w.serving(ctx)
	return errors.Join(err,
		check(!worse.Gate.Promoted && worse.Gate.Reason != "", "%s, which has learned nothing, was promoted: %s", worse.Version, worse.Gate.Reason),
		check(before == after, "after a model was refused, %s is served in place of %s", after, before))
}

func (w *world) sideBySide(ctx context.Context) error {
	if _, err := w.genrec(ctx, nil, "models", "split", "--models", w.models, "v000001:50", "v000002:50"); err != nil {
		return err
	}
	if err := w.visits(ctx, w.shop.users, 1); err != nil {
		return err
	}
	if err := w.divided(ctx, "v000001", "v000002"); err != nil { // infer knows of it now
		return err
	}
	versions, err := w.listedAnew(ctx)
	if err != nil {
		return err
	}
	again, err := w.listedAnew(ctx)
	if err != nil {
		return err
	}
	for user, version := range versions {
		if err := check(again[user] == version, "%s has a list of %s after one of %s: a split must not change", user, again[user], version); err != nil {
			return err
		}
	}
	if err := w.compared(ctx); err != nil {
		return err
	}
	return w.trainBeside(ctx)
}

// trainBeside trains while two serve, which must go on whatever the gate says.
func (w *world) trainBeside(ctx context.Context) error {
	third, err := w.train(ctx)
	if err != nil {
		return err
	}
	served, err := w.serving(ctx)
	return errors.Join(err,
		check(third.Gate.Promoted == (len(third.Split) > 0), "%s was promoted: %v, but it waits for a split of %d versions", third.Version, third.Gate.Promoted, len(third.Split)),
		check(served == "v000001=50,v000002=50", "after a training beside a split, %s is served, want v000001=50,v000002=50", served))
}

func (w *world) rollBack(ctx context.Context) error {
	start := time.Now()
	if _, err := w.genrec(ctx, nil, "models", "rollback", "--models", w.models); err != nil {
		return err
	}
	took := time.Since(start)
	served, err := w.serving(ctx)
	if err != nil {
		return err
	}
	slog.Info("rolled back", "to", served, "took", took.Round(time.Millisecond))
	if err := errors.Join(
		check(served == "v000002=100", "the rollback serves %s, want v000002=100, which was served before the split", served),
		check(took < 5*time.Second, "the rollback took %v", took),
	); err != nil {
		return err
	}
	return w.served(ctx, w.shop.users, "v000002")
}

// listedAnew lets all take something, and returns whose version each of their lists is of.
func (w *world) listedAnew(ctx context.Context) (versions map[string]string, err error) {
	if err := w.visits(ctx, w.shop.users, 1); err != nil {
		return nil, err
	}
	return w.settled(ctx)
}

// visits lets users take items and waits until they are ingested.
func (w *world) visits(ctx context.Context, users []string, items int) error {
	if err := w.shop.visit(ctx, users, items); err != nil {
		return err
	}
	return w.eventually(ctx, "ingest has worked off all events", func() (bool, error) {
		lag, err := stream.Lag(ctx, w.shop.cluster, ingest.DefaultGroup, stream.DefaultTopics().Interactions)
		return lag == 0, err
	})
}
