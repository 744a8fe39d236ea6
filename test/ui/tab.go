package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"genrec/pkg/backoff"
)

// tab is the page in Chromium. Chromium's network is not that of the test: what it asks for
// is recorded.
type tab struct {
	ctx context.Context

	mu       sync.Mutex
	servers  []string // that the page may ask
	expected bool     // what Chromium says of answers and connections
	console  []string // errors
	outside  []string // requests to others
	requests int
}

func openTab(ctx context.Context, chromium string) (*tab, context.CancelFunc, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses root otherwise
	}
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	ctx, _ = chromedp.NewContext(ctx)
	t := &tab{ctx: ctx}
	if err := chromedp.Listen(ctx, t.heard); err != nil {
		stop()
		return nil, nil, fmt.Errorf("start %s: %w", chromium, err)
	}
	for _, enable := range []func() error{
		func() error { _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); return err },
		func() error { _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); return err },
		func() error { _, err := chromedp.Call(ctx, runtime.Enable, cdp.Empty{}); return err },
	} {
		if err := enable(); err != nil {
			stop()
			return nil, nil, err
		}
	}
	return t, stop, nil
}

func (t *tab) heard(message any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch m := message.(type) {
	case *runtime.EventExceptionThrown:
		t.console = append(t.console, m.ExceptionDetails.Text+" "+m.ExceptionDetails.URL)
	case *runtime.EventConsoleAPICalled:
		if m.Type == "error" || m.Type == "warning" {
			t.console = append(t.console, fmt.Sprint(m.Args))
		}
	case *log.EventEntryAdded:
		if (m.Entry.Level == "error" || m.Entry.Level == "warning") && (!t.expected || m.Entry.Source != "network") {
			t.console = append(t.console, m.Entry.Text+" "+m.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		t.requests++
		if !slices.ContainsFunc(t.servers, func(server string) bool { return strings.HasPrefix(m.Request.URL, server) }) {
			t.outside = append(t.outside, m.Request.URL)
		}
	}
}

// visit opens the page of another server.
func (t *tab) visit(server string) error {
	t.mu.Lock()
	t.servers = append(t.servers, server)
	t.mu.Unlock()
	return t.do(chromedp.Navigate(server))
}

// patience is the timeout of browser operations.
const patience = 10 * time.Second

func (t *tab) do(steps ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	return chromedp.Do(ctx, steps...)
}

// evaluate returns the value of a JavaScript expression, awaiting promises.
func evaluate[T any](t *tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		return value, fmt.Errorf("%s: %w", expression, err)
	}
	return value, nil
}

// await polls until an expression is true.
func (t *tab) await(within time.Duration, expression string) error {
	deadline := time.Now().Add(within)
	for {
		holds, err := evaluate[bool](t, "Boolean("+expression+")")
		if err == nil && holds {
			return nil
		}
		if time.Now().After(deadline) {
			said, failed := evaluate[string](t, `document.querySelector("#trouble").textContent`)
			return errors.Join(fmt.Errorf("condition not met within %v: %s; the page reports %q", within, expression, said), err, failed)
		}
		if err := backoff.Sleep(t.ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

func (t *tab) click(selector string) error {
	if err := t.do(chromedp.Click(chromedp.CSS(selector))); err != nil {
		return fmt.Errorf("click %s: %w", selector, err)
	}
	return nil
}

func (t *tab) desktop() error { return t.do(chromedp.EmulateViewport(1280, 860)) }

func (t *tab) tablet() error {
	return t.do(chromedp.EmulateViewport(820, 1180, chromedp.EmulateMobile))
}

func (t *tab) phone() error {
	return t.do(chromedp.EmulateViewport(360, 760, chromedp.EmulateScale(2), chromedp.EmulateMobile))
}

func (t *tab) scheme(name string) error { return t.media("prefers-color-scheme", name) }

// media emulates one feature, and no other.
func (t *tab) media(feature, value string) error {
	_, err := chromedp.Call(t.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: feature, Value: value}},
	})
	return err
}

// mostBytes is the size limit of a screenshot in bytes; README.md shows some.
const mostBytes = 200 << 10

// shoot writes a screenshot.
func (t *tab) shoot(folder, name string) error {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return fmt.Errorf("take the picture %s: %w", name, err)
	}
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		return fmt.Errorf("read the picture %s: %w", name, err)
	}
	var small bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, reduced(picture)); err != nil {
		return err
	}
	if small.Len() > mostBytes {
		return fmt.Errorf("the picture %s has %d bytes: at most %d are wanted", name, small.Len(), mostBytes)
	}
	return os.WriteFile(filepath.Join(folder, name), small.Bytes(), 0o644)
}

// reduced maps a picture to its 256 most frequent colors.
func reduced(picture image.Image) *image.Paletted {
	const colors = 256
	bounds := picture.Bounds()
	counts := make(map[color.Color]int)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[picture.At(x, y)]++
		}
	}
	frequent := slices.SortedFunc(maps.Keys(counts), func(a, b color.Color) int { return cmp.Compare(counts[b], counts[a]) })
	palette := color.Palette(frequent[:min(colors, len(frequent))])
	nearest := make(map[color.Color]uint8, len(counts))
	for c := range counts {
		nearest[c] = uint8(palette.Index(c))
	}
	few := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			few.SetColorIndex(x, y, nearest[picture.At(x, y)])
		}
	}
	return few
}
