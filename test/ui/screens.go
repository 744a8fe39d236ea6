package main

import "fmt"

func (s *scenario) trainAgain() {
	s.check("the button starts another training", s.tab.click("#train"))
	s.check("the training is shown", s.tab.await(soon, `document.querySelector("#train").disabled`))
	s.update(func() error { return s.tab.click("#list li:nth-child(2) button") })
	s.check("it ends with a message about the second version", s.tab.await(trainingTime, `/\bv000002\b/.test(`+outcome+`)`))
	promoted, err := evaluate[bool](s.tab, outcome+`.startsWith("v000002 is the current version")`)
	s.check("read the result", err)
	if promoted { // by the gate
		s.check("the second version is served", s.tab.await(2*soon, `document.querySelector("#version").textContent === "v000002"`))
		s.check("the list is refreshed by the second version", s.tab.await(5*soon, `document.querySelector("#list-note").textContent === "by v000002"`))
	}
	s.check("the loss curve is shown", s.tab.await(soon, `!document.querySelector("#losses").hasAttribute("hidden") && document.querySelector("#losses polyline")?.points.length >= 3`))
	s.check("the button is enabled again", s.tab.await(soon, `!document.querySelector("#train").disabled`))
}

// screens checks desktop, tablet and phone in light and dark, and takes screenshots.
func (s *scenario) screens() {
	top := map[string]string{"desktop": "scrollTo(0, 0)", "tablet": "scrollTo(0, 0)", "phone": `document.querySelector(".you").scrollIntoView()`}
	for _, screen := range []struct {
		name  string
		set   func() error
		width int
	}{{"desktop", s.tab.desktop, 1280}, {"tablet", s.tab.tablet, 820}, {"phone", s.tab.phone, 360}} {
		s.check(screen.name, screen.set())
		for _, scheme := range []string{"light", "dark"} {
			what := scheme + " " + screen.name
			s.check(what, s.tab.scheme(scheme))
			s.check(what+" uses the colors of the scheme", s.tab.await(soon, fmt.Sprintf(`(%s > 128) === %t`, brightness, scheme == "light")))
			s.check(what+" has no horizontal scrolling", s.tab.await(soon, fmt.Sprintf(`document.documentElement.scrollWidth <= %d`, screen.width)))
			s.check(what+" has click targets of at least 44 pixels", s.none(smallTargets))
			s.check(what+" has a contrast of at least 4.5", s.none(weakContrasts))
			_, err := evaluate[any](s.tab, top[screen.name])
			s.check(what+": scroll to the top", err)
			s.check(what+": take a screenshot", s.tab.shoot(s.shots, screen.name+"-"+scheme+".png"))
			if name := (map[string]string{"light desktop": "playground.png", "dark phone": "playground-phone.png"})[what]; name != "" && s.docs != "" {
				s.check(what+": take a screenshot for README.md", s.tab.shoot(s.docs, name))
			}
			_, err = evaluate[any](s.tab, "scrollTo(0, document.body.scrollHeight)")
			s.check(what+": scroll to the end", err)
			s.check(what+": take a second screenshot", s.tab.shoot(s.shots, screen.name+"-"+scheme+"-end.png"))
		}
	}
	s.check("each field and button has a name", s.none(nameless))
	s.check("a new item is animated", s.tab.await(soon, motion+` === "arrive"`))
	s.check("emulate prefers-reduced-motion", s.tab.media("prefers-reduced-motion", "reduce"))
	s.check("there is no animation", s.tab.await(soon, motion+` === "none"`))
	s.check("switch back to desktop", s.tab.desktop())
	s.check("light color scheme", s.tab.scheme("light"))
}

// none fails unless an expression returns an empty list.
func (s *scenario) none(expression string) error {
	list, err := evaluate[[]string](s.tab, expression)
	if err != nil {
		return err
	}
	return nothingIn(list)
}

const brightness = `getComputedStyle(document.body).backgroundColor.match(/\d+/g).reduce((sum, n) => sum + Number(n), 0) / 3`

const smallTargets = `[...document.querySelectorAll("button, input")].filter((node) => node.checkVisibility())
  .map((node) => [node, node.getBoundingClientRect()]).filter(([, box]) => box.width < 44 || box.height < 43.5)
  .map(([node, box]) => node.id + node.className + " " + box.width + "x" + box.height)`

const nameless = `[...document.querySelectorAll("button, input, progress, svg[role], [role=meter]")].filter((node) => node.checkVisibility())
  .filter((node) => !(node.textContent.trim() || node.ariaLabel || node.labels?.length))
  .map((node) => node.outerHTML.slice(0, 80))`

// weakContrasts computes the contrast of each text with its background according to WCAG, after all animations.
const weakContrasts = `Promise.allSettled(document.getAnimations().map((animation) => animation.finished)).then(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const over = (colors, opacity = 1) => {
    canvas.clearRect(0, 0, 1, 1);
    colors.forEach((color, i) => {
      canvas.globalAlpha = i === colors.length - 1 ? opacity : 1;
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
    });
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => rgb.map((c) => c / 255).map((c) => (c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const weak = [];
  for (const node of document.querySelectorAll("body *")) {
    const says = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!says || !node.checkVisibility() || node.matches("script, :disabled")) continue;
    const behind = [];
    let opacity = 1;
    for (let at = node; at; at = at.parentElement) {
      behind.unshift(getComputedStyle(at).backgroundColor);
      opacity *= getComputedStyle(at).opacity;
    }
    const [a, b] = [luminance(over(behind)), luminance(over([...behind, getComputedStyle(node).color], opacity))];
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (contrast < 4.5) weak.push(contrast.toFixed(2) + " " + node.tagName + "." + node.className + " " + node.textContent.trim().slice(0, 30));
  }
  return weak;
})`

// motion returns the animation of a new tile.
const motion = `(() => {
  const tile = document.querySelector("#list .tile");
  tile.classList.add("fresh");
  return getComputedStyle(tile).animationName;
})()`

// expectNetworkErrors sets whether network errors on the console are expected.
func (t *tab) expectNetworkErrors(expected bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expected = expected
}
