package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"genrec/cmd/genrec/demo/shop"
	"genrec/pkg/testservers"
)

// Size and speed of the replay, sufficient for clicks before, during and after its training.
const (
	demoLive = "400"
	demoRate = "40"
	demoTime = 2 * time.Minute // timeout of a step
)

// demo clicks while genrec demo replays its shop, and stops it with Ctrl-C.
func (s *scenario) demo() {
	demo, err := s.startDemo(s.tab.ctx)
	s.check("genrec demo starts and serves its page", err)
	if err != nil {
		return
	}
	s.check("the page opens before there is a model", s.tab.visit(demo.url()))
	s.check("the page shows the current step", s.tab.await(5*soon, status+`.startsWith("Step ")`))
	s.check("there is a first model", s.tab.await(demoTime, `document.querySelector("#version").textContent === "v000001"`))
	s.check("the replay continues with live events", s.tab.await(demoTime, status+`.startsWith("Step 4/5")`))
	s.check("live events are shown", s.tab.await(5*soon, `document.querySelectorAll("#rows li .took").length >= 3`))
	s.check("switch to a new user", s.tab.click("#new-user"))
	s.check("the new user gets popular items", s.tab.await(soon, popularShown))
	for range 4 {
		s.update(func() error { return s.tab.click("#list li:nth-child(2) button") })
	}
	s.check("recommendations are by the first model", s.tab.await(soon, `document.querySelector("#list-note").textContent === "by v000001"`))
	s.check("the demo starts the second training", s.tab.await(demoTime, `document.querySelector("#train").disabled && `+outcome+`.startsWith("Training: ")`))
	s.update(func() error { return s.tab.click("#list li:nth-child(3) button") })
	s.check("the page reports its result", s.tab.await(demoTime, `/\bv000002\b/.test(`+outcome+`)`))
	s.check("the page ends with the results", s.tab.await(demoTime, `/^The replay is over: `+demoLive+` live events, hit rate at 10 of \d+\.\d %, .* You can continue to use this page\.$/.test(`+status+`)`))
	s.check("take a screenshot", s.tab.shoot(s.shots, "desktop-demo.png"))
	s.check("the terminal ends with the results", printed(demo, `(?m)^demo events=\d+ users=\d+ hr10=0\.\d+ popularity_hr10=0\.\d+ freshness_p50_ms=\d+ freshness_p99_ms=\d+ model_versions=2$`))
	s.update(func() error { return s.tab.click("#list li:nth-child(1) button") })
	s.tab.expectNetworkErrors(true)
	s.check("Ctrl-C stops it gracefully", interrupt(demo))
	s.check("the page reports it", s.tab.await(2*soon, unavailable))
	s.check("close its log", demo.log.Close())
}

const status = `document.querySelector("#status").textContent`

func (s *scenario) startDemo(ctx context.Context) (instance, error) {
	log, err := os.Create(filepath.Join(s.shots, "demo.log"))
	if err != nil {
		return instance{}, err
	}
	data := filepath.Join(s.shots, "demo.txt")
	address, err := testservers.FreeAddress()
	if err := errors.Join(err, writeHistories(data, s.seed)); err != nil {
		return instance{}, errors.Join(err, log.Close())
	}
	return startInstance(ctx, log, s.genrec, address, "demo", "--data", data, "--stay", "--live", demoLive, "--rate", demoRate, "--device", "cpu")
}

// writeHistories writes a dataset of the shop.
func writeHistories(path string, seed int64) error {
	var text strings.Builder
	s := shop.New(seed, shopItems)
	for u := range users {
		fmt.Fprintf(&text, "customer-%03d %s\n", u, strings.Join(s.Sequence(), " "))
	}
	return os.WriteFile(path, []byte(text.String()), 0o600)
}

func printed(i instance, pattern string) error {
	text, err := os.ReadFile(i.log.Name())
	if err == nil && !regexp.MustCompile(pattern).Match(text) {
		err = fmt.Errorf("%s has no %s", i.log.Name(), pattern)
	}
	return err
}

// interrupt sends SIGINT, as Ctrl-C does.
func interrupt(i instance) error {
	const most = 5 * time.Second
	began := time.Now()
	if err := i.End(syscall.SIGINT); err != nil {
		return fmt.Errorf("it exited with %w, see %s", err, i.log.Name())
	}
	if took := time.Since(began); took > most {
		return fmt.Errorf("it took %v, want at most %v", took, most)
	}
	return nil
}
