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

// tab is a tab of Chromium with the page. It records console errors and requests to other servers.
type tab struct {
	ctx context.Context

	mu       sync.Mutex
	servers  []string // allowed URL prefixes
	expected bool     // network errors on the console are expected
	console  []string // errors
	external []string // URLs of requests to other servers
	requests int
}

func openTab(ctx context.Context, chromium string) (*tab, context.CancelFunc, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium requires it for root
	}
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	ctx, _ = chromedp.NewContext(ctx)
	t := &tab{ctx: ctx}
	if err := chromedp.Listen(ctx, t.onEvent); err != nil {
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

func (t *tab) onEvent(message any) {
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
			t.external = append(t.external, m.Request.URL)
		}
	}
}

// visit opens the page of a server.
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
			message, failed := evaluate[string](t, `document.querySelector("#trouble").textContent`)
			return errors.Join(fmt.Errorf("condition not met within %v: %s; the page reports %q", within, expression, message), err, failed)
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

// media emulates a media feature and resets the others.
func (t *tab) media(feature, value string) error {
	_, err := chromedp.Call(t.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: feature, Value: value}},
	})
	return err
}

// maxBytes is the size limit of a screenshot, since README.md contains some.
const maxBytes = 200 << 10

// shoot writes a screenshot.
func (t *tab) shoot(folder, name string) error {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return fmt.Errorf("take screenshot %s: %w", name, err)
	}
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		return fmt.Errorf("decode screenshot %s: %w", name, err)
	}
	var small bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, quantized(picture)); err != nil {
		return err
	}
	if small.Len() > maxBytes {
		return fmt.Errorf("screenshot %s has %d bytes, want at most %d", name, small.Len(), maxBytes)
	}
	return os.WriteFile(filepath.Join(folder, name), small.Bytes(), 0o644)
}

// quantized reduces an image to its 256 most frequent colors.
func quantized(picture image.Image) *image.Paletted {
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
