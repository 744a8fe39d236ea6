package archive

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

// The test binary is also the process that is killed, if these say where it works.
const (
	brokerVariable = "ARCHIVE_TEST_BROKER"
	folderVariable = "ARCHIVE_TEST_FOLDER"
)

func TestMain(m *testing.M) {
	if broker := os.Getenv(brokerVariable); broker != "" {
		archiveUntilKilled(broker, os.Getenv(folderVariable))
	}
	embeddedtest.Main(m)
}

func archiveUntilKilled(broker, folder string) {
	a, err := history.OpenArchive(folder)
	if err == nil {
		cfg := Config{Kafka: stream.Cluster{Brokers: []string{broker}}, MaxAge: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
		err = New(cfg, a).Run(context.Background())
	}
	panic(err)
}

// Kills at any point lose nothing; what is written again is told apart by its ids.
func TestKills(t *testing.T) {
	const kills = 3
	h := newHarness(t)
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
		embeddedtest.Eventually(t, func() string { // it is at work
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
