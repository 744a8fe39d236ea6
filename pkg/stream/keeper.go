package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
)

const (
	// A topic that is missing is created again after that: whoever has deleted it may be about
	// to do so, with settings of their own.
	createAfter = 3 * time.Second
	// rejoinTime is how long consumers and producers take to find a topic again.
	rejoinTime = 5 * time.Second
)

// Keeper watches topics while services run, and creates again those that were deleted, with as
// many partitions as they had.
type Keeper struct {
	cluster Cluster
	topics  Topics
	logger  *slog.Logger

	partitions map[string]int // to create topics with
	known      map[string]topic
	missed     map[string]time.Time // since when topics are missing

	mu      sync.Mutex
	problem error     // of topics that are missing
	until   time.Time // when consumers have found those that are back
}

// NewKeeper returns a Keeper; Run starts it. Topics that it has never seen get that many
// partitions.
func NewKeeper(cluster Cluster, topics Topics, partitions int, logger *slog.Logger) *Keeper {
	k := &Keeper{
		cluster: cluster, topics: topics, logger: logger,
		partitions: make(map[string]int), known: make(map[string]topic), missed: make(map[string]time.Time),
	}
	for _, name := range topics.names() {
		k.partitions[name] = partitions
	}
	return k
}

// Ready says which topics are missing, or have been created again so recently that consumers may
// not have found them.
func (k *Keeper) Ready() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.problem == nil && time.Now().Before(k.until) {
		return errors.New("topics were created again: consumers are joining")
	}
	return k.problem
}

// Run watches until ctx ends, and then returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	looker, err := newLooker(k.cluster)
	if err != nil {
		return err
	}
	defer looker.close()
	failed := ""
	for backoff.Sleep(ctx, watchEvery) == nil {
		found, err := looker.look(ctx, k.topics.names()...)
		if err != nil {
			continue // consumers and producers tell of it
		}
		overdue := k.compare(ctx, found, time.Now())
		if len(overdue) == 0 {
			continue
		}
		if err := k.create(ctx, overdue); err != nil && err.Error() != failed && ctx.Err() == nil {
			failed = err.Error() // told once
			k.logger.ErrorContext(ctx, "create topics again", "topics", overdue, "err", explain(err))
		}
	}
	return nil
}

// compare returns the topics that have been missing for too long.
func (k *Keeper) compare(ctx context.Context, found map[string]topic, now time.Time) (overdue []string) {
	var missing []string
	changed := false
	for _, name := range k.topics.names() {
		is, was := found[name], k.known[name]
		since, missed := k.missed[name]
		switch {
		case is.exists():
			changed = changed || missed || was.recreated(is)
			delete(k.missed, name)
			k.known[name], k.partitions[name] = is, is.partitions
		case !missed:
			k.missed[name] = now
			k.logger.ErrorContext(ctx, "a topic is missing: creating it again soon", "topic", name, "in", createAfter)
			missing = append(missing, name)
		default:
			missing = append(missing, name)
			if now.Sub(since) >= createAfter {
				overdue = append(overdue, name)
			}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if changed {
		k.until = now.Add(rejoinTime)
	}
	k.problem = nil
	if len(missing) > 0 {
		k.problem = fmt.Errorf("topics are missing: %s", strings.Join(missing, ", "))
	}
	return overdue
}

func (k *Keeper) create(ctx context.Context, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	configs := k.topics.configs(0)
	configs = slices.DeleteFunc(configs, func(c kafka.TopicConfig) bool { return !slices.Contains(names, c.Topic) })
	for i := range configs {
		configs[i].NumPartitions = k.partitions[configs[i].Topic]
	}
	if err := createTopics(ctx, k.cluster, configs); err != nil {
		return err
	}
	k.logger.WarnContext(ctx, "created topics again: their messages are lost, and their settings are the defaults", "topics", names)
	return nil
}
