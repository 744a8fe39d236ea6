package retrain

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"genrec/model"
	"genrec/model/dist"
	"genrec/model/examples"
)

// job is what rank 0 lets the others train, beside the bundle.
type job struct {
	Recipe    Recipe   `json:"recipe"`
	Seed      int64    `json:"seed"`
	Device    string   `json:"device"`
	Steps     int      `json:"steps"` // of the budget
	At        position `json:"at"`
	Users     int      `json:"users"` // of whom the histories follow
	histories []examples.History
}

func (t *training) job() job {
	return job{
		Recipe: t.config.Recipe, Seed: t.config.Seed, Device: t.config.Device.String(), Steps: t.config.Budget.Steps, At: t.at,
		Users: len(t.histories), histories: t.histories,
	}
}

func (j job) write(to io.Writer) error {
	out := bufio.NewWriter(to)
	lines := json.NewEncoder(out)
	if err := lines.Encode(j); err != nil {
		return err
	}
	for _, h := range j.histories {
		if err := lines.Encode(h); err != nil {
			return err
		}
	}
	return out.Flush()
}

// readJob reads what write wrote and not a byte more.
func readJob(from *bufio.Reader) (j job, err error) {
	line := func(into any) error {
		text, err := from.ReadBytes('\n')
		if err != nil {
			return err
		}
		return json.Unmarshal(text, into)
	}
	if err := line(&j); err != nil {
		return j, err
	}
	j.histories = make([]examples.History, j.Users)
	for i := range j.histories {
		if err := line(&j.histories[i]); err != nil {
			return j, fmt.Errorf("history %d of %d: %w", i+1, j.Users, err)
		}
	}
	return j, nil
}

// agree fails on all ranks unless all have the same job and the same kind of device.
func (j job) agree(g *dist.Group, device model.Device) error {
	if err := g.VerifyEqual("device (--device)", device.String()); err != nil {
		return err
	}
	h := sha256.New()
	if err := j.write(h); err != nil {
		return err
	}
	return g.VerifyEqual("snapshot or recipe", hex.EncodeToString(h.Sum(nil)))
}
