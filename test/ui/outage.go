package main

import (
	"fmt"
	"time"
)

const away = `!document.querySelector("#trouble").hidden && document.querySelector("#trouble").textContent.includes("is not responding")`

// outage kills genrec and starts it again.
func (s *story) outage() {
	past, err := evaluate[int](s.tab, `document.querySelectorAll("#history li").length`)
	s.check("the user has a past", err)
	s.tab.expect(true)
	s.world.kill()
	s.check("the page says that the server is away", s.tab.await(2*soon, away))
	s.check("an item is clicked all the same", s.tab.click("#list li:nth-child(1) button"))
	s.check("and the page says that it was not taken", s.tab.await(2*soon, `document.querySelector("#trouble").textContent.includes("was not recorded: The server is not responding.")`))
	s.check("where it is seen, wherever the page is scrolled to", s.tab.await(soon, `document.querySelector("#trouble").getBoundingClientRect().top >= 0`))
	s.check("with a picture", s.tab.shoot(s.shots, "desktop-away.png"))
	s.check("genrec starts again", s.world.start(s.tab.ctx))
	s.check("the page comes back by itself, and says so", s.tab.await(2*soon, `document.querySelector("#connection").textContent === "reconnected" && document.querySelector("#trouble").hidden`))
	s.tab.expect(false)
	s.check("the user has the same past", s.tab.await(soon, fmt.Sprintf(`document.querySelectorAll("#history li").length === %d`, past)))
	s.check("the model answers again", s.tab.await(5*soon, `/^v\d+$/.test(document.querySelector("#version").textContent)`))
	s.awaitAnswers()
	s.update(func() error { return s.tab.click("#list li:nth-child(1) button") })
}

// awaitAnswers waits until others' events are answered: Kafka gives the new process its
// partitions when the session of the one that was killed has ended.
func (s *story) awaitAnswers() {
	const session = 6 * time.Second
	s.check("events are answered after the restart", s.tab.await(session+soon, `Number(document.querySelector("#rate").textContent) > 0`))
}
