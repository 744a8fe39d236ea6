package stream_test

import (
	"context"
	"testing"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
)

// A killed process stays a member for some seconds, while its successor checks its permissions.
func TestPermissionsOfGroupWithMembers(t *testing.T) {
	servers := startWithTopics(t)
	group, topics := "readers", stream.DefaultTopics()
	reads := make(chan struct{}, 1)
	embeddedtest.Run(t, func(ctx context.Context) error {
		return stream.Consume(ctx, stream.GroupConfig{Kafka: servers.Cluster(), Group: group, Topic: topics.Refreshes, Logger: quiet},
			func(ctx context.Context, _ *stream.Partition) error {
				select {
				case reads <- struct{}{}:
				default:
				}
				<-ctx.Done()
				return nil
			})
	})
	<-reads
	needed := stream.Permissions{Group: group, Reads: topics.Refreshes, Writes: []string{topics.DeadLetters}}
	if err := stream.CheckPermissions(t.Context(), servers.Cluster(), needed); err != nil {
		t.Errorf("while the group has a member: %v; want no error", err)
	}
}
