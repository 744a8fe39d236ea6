package ingest

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/history"
	"genrec/pkg/stream"
)

// The test binary is also the process that gets killed, if these variables are set.
const (
	brokerVariable = "HISTORY_TEST_BROKER"
	folderVariable = "HISTORY_TEST_FOLDER"
)

func TestMain(m *testing.M) {
	if broker := os.Getenv(brokerVariable); broker != "" {
		writeHistoryUntilKilled(broker, os.Getenv(folderVariable))
	}
	embeddedtest.Main(m)
}

func writeHistoryUntilKilled(broker, folder string) {
	dir, err := history.OpenDir(folder)
	if err == nil {
		cfg := HistoryConfig{Kafka: stream.Cluster{Brokers: []string{broker}}, SegmentAge: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
		err = NewHistoryWriter(cfg, dir).Run(context.Background())
	}
	panic(err)
}

// Kills at any point lose nothing; events that are written twice have the same id.
func TestHistorySurvivesKills(t *testing.T) {
	const kills = 3
	h := newHistoryHarness(t)
	random := rand.New(rand.NewPCG(1, 1))
	start := func() *exec.Cmd {
		c := exec.CommandContext(t.Context(), os.Args[0])
		c.Env = append(os.Environ(), brokerVariable+"="+h.servers.KafkaBrokers()[0], folderVariable+"="+h.folder)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	for range kills {
		before := h.committed()
		process := start()
		h.produce(20)
		embeddedtest.Eventually(t, func() string { // until it is working
			if h.produce(5); h.committed() == before {
				return "nothing is committed"
			}
			return ""
		})
		time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
		_ = process.Process.Kill()
		_ = process.Wait()
	}
	last := start()
	h.awaitCommits(0)
	_ = last.Process.Kill()
	_ = last.Wait()
	h.wantAll(true)
}
