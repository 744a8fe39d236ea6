package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// scenario uses the page like a person.
type scenario struct {
	settings
	env            *environment
	tab            *tab
	checks, failed int
	updates        []float64 // ms from a click until the list changes
}

// check counts and prints a result. The test continues after a failure, to report all of them.
func (s *scenario) check(what string, err error) {
	s.checks++
	if err != nil {
		s.failed++
		fmt.Printf("FAILED  %s: %v\n", what, err)
		return
	}
	fmt.Printf("ok      %s\n", what)
}

// Timeouts of the page.
const (
	soon         = 2 * time.Second
	trainingTime = 90 * time.Second
)

func (s *scenario) run() {
	s.open()
	s.trainFirst()
	s.env.sendLive(s.tab.ctx)
	s.pickUser()
	s.clickItems()
	s.keyboard()
	s.watchOthers()
	s.trainAgain()
	s.screens()
	s.outage()
	s.demo()
	s.check("the console has no errors", nothingIn(s.tab.recorded(&s.tab.console)))
	s.check(fmt.Sprintf("all %d requests went to the servers", s.tab.requests), nothingIn(s.tab.recorded(&s.tab.external)))
}

func nothingIn(list []string) error {
	if len(list) > 0 {
		return fmt.Errorf("got %d, the first ones are %q", len(list), list[:min(5, len(list))])
	}
	return nil
}

func (t *tab) recorded(list *[]string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(*list)
}

func (s *scenario) open() {
	s.check("desktop viewport", s.tab.desktop())
	s.check("light color scheme", s.tab.scheme("light"))
	s.check("open the page", s.tab.visit(s.env.url()))
	s.check("the page is connected", s.tab.await(soon, `document.querySelector("#connection").dataset.state === "on"`))
	s.check("the page prompts to select or create a user", s.tab.await(soon, `/^(Select a user or create a new one|Create a new user) first\.$/.test(document.querySelector("#list").textContent)`))
	s.check("the prompt is visible in one line", s.tab.await(soon, `document.querySelector("#list .empty").offsetHeight < 50 && document.querySelector("#shelf .empty, #shelf .tile").checkVisibility()`))
	s.check("take a screenshot", s.tab.shoot(s.shots, "desktop-empty.png"))
	s.check("create a user", s.tab.click("#new-user"))
	s.check("the page says that there is no model yet", s.tab.await(soon, `document.querySelector("#list").textContent.includes("train a model first")`))
}

const outcome = `document.querySelector("#train-note").textContent`

func (s *scenario) trainFirst() {
	s.check("the button starts a training", s.tab.click("#train"))
	s.check("the training is shown and the button is disabled", s.tab.await(soon, `document.querySelector("#train").disabled && !document.querySelector("#train-progress").hidden`))
	s.tab.expectNetworkErrors(true)
	refused, err := evaluate[string](s.tab, `fetch("/playground/training", {method: "POST"}).then(async (r) => r.status + " " + (await r.json()).detail)`)
	if err == nil && refused != "409 a training is already running: only one runs at a time" {
		err = fmt.Errorf("got %q", refused)
	}
	s.check("a second training is rejected with a message", err)
	s.tab.expectNetworkErrors(false)
	s.check("the progress increases", s.tab.await(trainingTime, `document.querySelector("#train-progress").value > 0.2`))
	s.check("the loss is drawn", s.tab.await(trainingTime, `document.querySelector("#losses polyline")?.points.length >= 10`))
	s.check("the page reports that the first version is served", s.tab.await(trainingTime, outcome+`.startsWith("v000001 is the current version")`))
	s.check("the page shows the first version", s.tab.await(2*soon, `document.querySelector("#version").textContent === "v000001"`))
}

const popularShown = `document.querySelector("#list-note").textContent.startsWith("popular items")`

const ownList = `document.querySelectorAll("#list [data-item]").length === 12 && document.querySelector("#list-note").textContent.startsWith("by v")`

func (s *scenario) pickUser() {
	s.check("there are users to select", s.tab.await(soon, `document.querySelectorAll("#people button").length >= 2`))
	s.check("select a user", s.tab.click("#people button:nth-child(2)"))
	s.check("the user has recommendations by the model", s.tab.await(2*soon, ownList))
	s.check("the user has a history", s.tab.await(soon, `document.querySelectorAll("#history li").length >= 1`))
	s.check("the user is marked in the list of users", s.tab.await(soon, `document.querySelector('#people [aria-pressed="true"]')?.textContent === document.querySelector("#me").textContent`))
}

// clickItems measures the time until the list changes, with the clock of the page.
func (s *scenario) clickItems() {
	const users = 6
	for i := range s.clicks {
		if i%max(1, s.clicks/users) == 0 {
			s.check("switch to a new user", s.tab.click("#new-user"))
			s.check("the new user gets popular items", s.tab.await(soon, popularShown))
		}
		s.update(func() error { return s.tab.click(fmt.Sprintf("#list li:nth-child(%d) button", 1+i%4)) })
	}
	s.check("a new user has recommendations by the model", s.tab.await(soon, ownList))
	s.check("the page shows the latency", s.tab.await(soon, `/on your screen \d+ ms after your click/.test(document.querySelector("#news").textContent)`))
	err := error(nil)
	if p95 := s.updateP95(); p95 > float64(soon.Milliseconds()) {
		err = fmt.Errorf("p95 is %.0f ms", p95)
	}
	s.check(fmt.Sprintf("p95 within %v", soon), err)
}

// watchList measures the time from the next click or key until the list changes.
const watchList = `(() => {
  const list = document.querySelector("#list"), items = () => [...list.querySelectorAll("[data-item]")].map((b) => b.dataset.item).join();
  const before = items();
  let began = performance.now();
  const begin = () => { began = performance.now(); };
  for (const kind of ["click", "submit"]) document.addEventListener(kind, begin, { capture: true, once: true });
  window.changed = new Promise((resolve) => {
    new MutationObserver((_, observer) => {
      if (items() === before) return;
      observer.disconnect();
      resolve(performance.now() - began);
    }).observe(list, { childList: true });
    setTimeout(() => resolve(-1), 8000);
  });
  return true;
})()`

// update performs an action that changes the list and measures the latency.
func (s *scenario) update(act func() error) {
	_, err := evaluate[bool](s.tab, watchList)
	if err == nil {
		err = act()
	}
	var ms float64
	if err == nil {
		ms, err = evaluate[float64](s.tab, "window.changed")
	}
	if err == nil && ms < 0 {
		err = fmt.Errorf("the list does not change within 8 s")
	}
	if err == nil {
		s.updates = append(s.updates, ms)
	}
	s.check(fmt.Sprintf("the list changes, %.0f ms after a click", ms), err)
}

func (s *scenario) updateP95() float64 {
	if len(s.updates) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s.updates))
	return sorted[int(math.Ceil(.95*float64(len(sorted))))-1]
}

// keyboard uses the page without a mouse.
func (s *scenario) keyboard() {
	s.check("reload the page", s.tab.do(chromedp.Navigate(s.env.url())))
	s.check("the user is unchanged", s.tab.await(2*soon, ownList))
	s.check("Tab reaches the button for a new user", s.tabTo(`document.activeElement.id === "new-user"`))
	s.check("Enter activates it", s.press(kb.Enter))
	s.check("the new user gets popular items", s.tab.await(soon, popularShown))
	s.check("Tab reaches an item", s.tabTo(`document.activeElement.closest("#list") !== null`))
	s.check("the focus is visible", s.tab.await(soon, `getComputedStyle(document.activeElement).outlineStyle === "solid" && parseFloat(getComputedStyle(document.activeElement).outlineWidth) >= 2`))
	s.update(func() error { return s.press(" ") })
	s.check("the focus stays in the list", s.tab.await(soon, `document.activeElement.closest("#list") !== null`))
	s.check("Tab reaches the item field", s.tabTo(`document.activeElement.id === "item-id"`))
	s.update(func() error { return s.press("item-0001" + kb.Enter) })
	s.check("messages are announced to screen readers", s.tab.await(soon, `document.querySelector("#news").ariaLive === "polite" && document.querySelector("#trouble").role === "alert"`))
}

func (s *scenario) press(keys string) error { return s.tab.do(chromedp.KeyEvent(keys)) }

func (s *scenario) tabTo(condition string) error {
	const most = 60
	for range most {
		if err := s.press(kb.Tab); err != nil {
			return err
		}
		if at, err := evaluate[bool](s.tab, condition); err != nil || at {
			return err
		}
	}
	return fmt.Errorf("condition not met after pressing Tab %d times: %s", most, condition)
}

func (s *scenario) watchOthers() {
	s.check("events of other users are shown with their latency", s.tab.await(2*soon, `/^\d+ ms$/.test(document.querySelector("#rows li:not(.mine) .took")?.textContent)`))
	s.check("the freshness is shown", s.tab.await(2*soon, `/^\d+ ms$/.test(document.querySelector("#fresh").textContent)`))
	s.check("lists are compared with the popular items", s.tab.await(10*soon, `document.querySelector("#hits-text").textContent.endsWith("%") && document.querySelectorAll("#rates polyline").length === 2`))
	s.check("pause the stream", s.tab.click("#pause"))
	still, err := evaluate[bool](s.tab, `new Promise((resolve) => {
		const first = document.querySelector("#rows li");
		setTimeout(() => resolve(first === document.querySelector("#rows li")), 1000);
	})`)
	if err == nil && !still {
		err = fmt.Errorf("rows are still added")
	}
	s.check("no rows are added", err)
	s.check("resume the stream", s.tab.click("#pause"))
}

const unavailable = `!document.querySelector("#trouble").hidden && document.querySelector("#trouble").textContent.includes("is not responding")`

// outage kills and restarts genrec.
func (s *scenario) outage() {
	past, err := evaluate[int](s.tab, `document.querySelectorAll("#history li").length`)
	s.check("the user has a history before the outage", err)
	s.tab.expectNetworkErrors(true)
	s.env.kill()
	s.check("the page reports that the server does not respond", s.tab.await(2*soon, unavailable))
	s.check("click an item", s.tab.click("#list li:nth-child(1) button"))
	s.check("the page reports that the event was not recorded", s.tab.await(2*soon, `document.querySelector("#trouble").textContent.includes("was not recorded: The server is not responding.")`))
	s.check("the message is visible at any scroll position", s.tab.await(soon, `document.querySelector("#trouble").getBoundingClientRect().top >= 0`))
	s.check("take a screenshot", s.tab.shoot(s.shots, "desktop-away.png"))
	s.check("restart genrec", s.env.start(s.tab.ctx))
	s.check("the page reconnects and reports it", s.tab.await(2*soon, `document.querySelector("#connection").textContent === "reconnected" && document.querySelector("#trouble").hidden`))
	s.tab.expectNetworkErrors(false)
	s.check("the history of the user is unchanged", s.tab.await(soon, fmt.Sprintf(`document.querySelectorAll("#history li").length === %d`, past)))
	s.check("the model is loaded again", s.tab.await(5*soon, `/^v\d+$/.test(document.querySelector("#version").textContent)`))
	s.awaitRefreshes()
	s.update(func() error { return s.tab.click("#list li:nth-child(1) button") })
}

// awaitRefreshes waits until the lists of other users are refreshed. Kafka assigns the partitions to the new
// process when the session of the killed one has timed out.
func (s *scenario) awaitRefreshes() {
	const session = 6 * time.Second
	s.check("lists are refreshed after the restart", s.tab.await(session+soon, `Number(document.querySelector("#rate").textContent) > 0`))
}
