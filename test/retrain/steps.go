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

// run executes all steps, each with its assertions.
func (env *environment) run(ctx context.Context) error {
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"train the first model", env.firstModel},
		{"train a better model with new items and without a forgotten user", env.secondModel},
		{"train a bad model, which the gate must refuse", env.worseModel},
		{"split users between two versions", env.splitUsers},
		{"roll back", env.rollBack},
		{"kill trainings", env.killTrainings},
		{"train with a full disk", env.fullDisk},
	} {
		slog.Info(step.name)
		if err := errors.Join(step.run(ctx), env.healthy()); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return env.countIncomplete(ctx, env.models)
}

func (env *environment) firstModel(ctx context.Context) error {
	if err := env.sendEvents(ctx, env.shop.users, 8); err != nil {
		return err
	}
	first, err := env.train(ctx)
	if err != nil {
		return err
	}
	if err := check(first.Gate.Promoted, "%s was refused: %s", first.Version, first.Gate.Reason); err != nil {
		return err
	}
	if err := env.awaitServed(ctx, env.shop.users, first.Version); err != nil {
		return err
	}
	env.startReader(ctx)
	return nil
}

// forgotten is the user to forget before the second model is trained.
const forgotten = "customer-7"

func (env *environment) secondModel(ctx context.Context) error {
	env.shop.items += aisle
	for i := range firstUsers / 10 {
		env.shop.users = append(env.shop.users, fmt.Sprintf("newcomer-%d", i))
	}
	if err := env.sendEvents(ctx, env.shop.users, 4); err != nil {
		return err
	}
	if _, err := env.genrec(ctx, nil, append([]string{"forget", "--user", forgotten}, env.servers.Flags()...)...); err != nil {
		return err
	}
	env.shop.forget(forgotten)
	second, err := env.train(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(
		check(second.Gate.Promoted, "%s was refused: %s", second.Version, second.Gate.Reason),
		check(second.Items == env.shop.items, "%s has %d items, want %d", second.Version, second.Items, env.shop.items),
	); err != nil {
		return err
	}
	// The background refresh includes users without new events.
	if err := env.awaitServed(ctx, env.shop.users, second.Version); err != nil {
		return err
	}
	if err := env.awaitRecommended(ctx, itemName(firstItems)); err != nil {
		return err
	}
	return env.checkErased(ctx, forgotten)
}

func (env *environment) worseModel(ctx context.Context) error {
	before, err := env.serving(ctx)
	if err != nil {
		return err
	}
	worse, err := env.train(ctx, "--from-scratch", "--stage", "finetune", "--finetune-epochs", "1", "--set", "every_prefix=false",
		"--set", "choose_weights=false", "--set", "model.genrec_dense_weight=0", "--set", "model.genrec_sequential_weight=0", "--set", "model.genrec_association_weight=0")
	if err != nil {
		return err
	}
	after, err := env.serving(ctx)
	return errors.Join(err,
		check(!worse.Gate.Promoted && worse.Gate.Reason != "", "%s, which was hardly trained, was promoted: %s", worse.Version, worse.Gate.Reason),
		check(before == after, "after a model was refused, %s is served, want %s", after, before))
}

func (env *environment) splitUsers(ctx context.Context) error {
	if _, err := env.genrec(ctx, nil, "models", "split", "--models", env.models, "v000001:50", "v000002:50"); err != nil {
		return err
	}
	if err := env.sendEvents(ctx, env.shop.users, 1); err != nil {
		return err
	}
	if err := env.awaitSplit(ctx, "v000001", "v000002"); err != nil { // infer has loaded the split
		return err
	}
	versions, err := env.refreshedVersions(ctx)
	if err != nil {
		return err
	}
	refreshed, err := env.refreshedVersions(ctx)
	if err != nil {
		return err
	}
	for user, version := range versions {
		if err := check(refreshed[user] == version, "%s has a list of %s after one of %s: the split must be stable", user, refreshed[user], version); err != nil {
			return err
		}
	}
	if err := env.awaitCompared(ctx); err != nil {
		return err
	}
	return env.trainDuringSplit(ctx)
}

// trainDuringSplit trains while users are split; the split must remain whatever the gate decides.
func (env *environment) trainDuringSplit(ctx context.Context) error {
	third, err := env.train(ctx)
	if err != nil {
		return err
	}
	served, err := env.serving(ctx)
	return errors.Join(err,
		check(third.Gate.Promoted == (len(third.Split) > 0), "%s: promoted is %v, but it waits for a split of %d versions", third.Version, third.Gate.Promoted, len(third.Split)),
		check(served == "v000001=50,v000002=50", "after a training during a split, %s is served, want v000001=50,v000002=50", served))
}

func (env *environment) rollBack(ctx context.Context) error {
	start := time.Now()
	if _, err := env.genrec(ctx, nil, "models", "rollback", "--models", env.models); err != nil {
		return err
	}
	took := time.Since(start)
	served, err := env.serving(ctx)
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
	return env.awaitServed(ctx, env.shop.users, "v000002")
}

// refreshedVersions sends an event of each user and returns the version of each refreshed list.
func (env *environment) refreshedVersions(ctx context.Context) (versions map[string]string, err error) {
	if err := env.sendEvents(ctx, env.shop.users, 1); err != nil {
		return nil, err
	}
	return env.awaitUpToDate(ctx)
}

// sendEvents sends events and waits until they are ingested.
func (env *environment) sendEvents(ctx context.Context, users []string, items int) error {
	if err := env.shop.send(ctx, users, items); err != nil {
		return err
	}
	return env.eventually(ctx, "ingest has no lag", func() (bool, error) {
		lag, err := stream.Lag(ctx, env.shop.cluster, ingest.DefaultGroup, stream.DefaultTopics().Interactions)
		return lag == 0, err
	})
}
