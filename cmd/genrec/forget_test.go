package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/sessions"
)

// A user who was exported and forgotten does not come back by importing the export.
func TestForgottenUsersStayForgotten(t *testing.T) {
	servers, rdb := embeddedtest.Start(t)
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	users := []string{"ann", "bob", "cid"}
	w := stream.NewDeadLetterWriter(servers.Cluster(), stream.DefaultTopics().DeadLetters)
	defer w.Close()
	for i, user := range users {
		e := event.Event{ID: "of-" + user, Item: "hat", Type: event.DefaultType, Time: time.Now().UTC().Truncate(time.Millisecond)}
		if _, err := store.Append(t.Context(), []sessions.UserEvents{{User: user, Events: []event.Event{e}}}); err != nil {
			t.Fatal(err)
		}
		bad := kafka.Message{Topic: "interactions", Offset: int64(i), Key: []byte(user), Value: []byte("{")}
		if err := w.WriteMessages(t.Context(), stream.NewDeadLetter(bad, "not_json", "cut off")); err != nil {
			t.Fatal(err)
		}
	}
	run := func(line string) string {
		t.Helper()
		var out bytes.Buffer
		app := newApp()
		app.Writer = &out
		if err := app.Run(t.Context(), strings.Fields(line)); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return out.String()
	}
	redisAt, kafkaAt := " --redis "+servers.RedisAddr(), " --kafka "+servers.KafkaBrokers()[0]

	file := filepath.Join(t.TempDir(), "all.csv.gz")
	run("genrec export" + redisAt + " " + file)
	for line := range strings.Lines(run("genrec export" + redisAt + " -")) {
		if _, err := event.Decode([]byte(line), time.Now(), event.DefaultLimits()); err != nil {
			t.Errorf("exported %q: %v", line, err)
		}
	}

	list := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(list, []byte("bob\r\n\nnobody\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"3 users forgotten, 2 of them had something in Redis; 2 dead letters erased\n" +
			"nothing found in Redis: \"nobody\"\n",
		"3 users forgotten, 0 of them had something in Redis; 0 dead letters erased\n" +
			"nothing found in Redis: \"ann\"\nnothing found in Redis: \"bob\"\nnothing found in Redis: \"nobody\"\n",
	} {
		if got := run("genrec forget" + redisAt + kafkaAt + " --user ann --users-file " + list); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	run("genrec import --no-refresh" + redisAt + kafkaAt + " " + file)
	sequences, err := store.Sequences(t.Context(), users)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{0, 0, 1} {
		if got := len(sequences[i].Interactions); got != want {
			t.Errorf("after the import, %s has %d events, want %d", users[i], got, want)
		}
	}
	var letter struct{ Key string }
	letters := run("genrec dead list --json" + kafkaAt)
	if err := json.Unmarshal([]byte(letters), &letter); err != nil || letter.Key != "cid" {
		t.Errorf("the dead letters are %s (error %v), want the one of cid", letters, err)
	}
	if got, want := run("genrec dead replay"+kafkaAt), "1 replayed, "; !strings.HasPrefix(got, want) {
		t.Errorf("dead replay prints %q, want %q", got, want)
	}
}

// A file of users may have any encoding; one that cannot be read erases nobody.
func TestForgetReadsFilesOfAnyEncoding(t *testing.T) {
	servers, rdb := embeddedtest.Start(t)
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	users := []string{"alice", "bob", "carol", "dave", " erin "}
	add := func() {
		t.Helper()
		var all []sessions.UserEvents
		for _, user := range users {
			e := event.Event{ID: fmt.Sprint(user, time.Now().UnixNano()), Item: "hat", Type: event.DefaultType, Time: time.Now().Add(time.Second).UTC().Truncate(time.Millisecond)}
			all = append(all, sessions.UserEvents{User: user, Events: []event.Event{e}})
		}
		if _, err := store.Append(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (left []string) {
		t.Helper()
		sequences, err := store.Sequences(t.Context(), users)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range sequences {
			if len(s.Interactions) > 0 {
				left = append(left, users[i])
			}
		}
		return left
	}
	list := filepath.Join(t.TempDir(), "users.txt")
	arguments := []string{"forget", "--json", "--redis", servers.RedisAddr(), "--kafka", servers.KafkaBrokers()[0], "--users-file", list}
	const windows = "\ufeffalice\r\nbob\t\r\ncarol \r\n\r\n\"dave\"\r\n\" erin \"\r\nfrank\r\nalice"
	for name, text := range map[string]string{
		"Windows": windows, "UTF-16": encodeUTF16(windows), "classic Mac": strings.ReplaceAll(windows[3:], "\r\n", "\r"),
	} {
		add()
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		printed, err := runCommand(t, arguments...)
		var got forgotten
		if err := errors.Join(err, json.Unmarshal([]byte(printed), &got)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.Users != 6 || got.Known != 5 || !slices.Equal(got.NotFound, []string{"frank"}) || left() != nil {
			t.Errorf("%s: got %+v, and %q are still there, want each once, and all but frank found and erased", name, got, left())
		}
	}
	add()
	for text, want := range map[string]string{
		"alice\nb\x07b\n":                     "line 2: user contains a control character",
		"alice\n" + strings.Repeat("x", 300):  "line 2: user has 300 bytes",
		"alice\n}\n":                          "line 2: user starts with '}'",
		"alice\n\"\"\n":                       "line 2: user is empty",
		"alice\nfran\xe7ois\n":                "line 2: is not UTF-8",
		encodeUTF16("alice\n")[:10] + "\x00b": "save it as UTF-8",
	} {
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := runCommand(t, arguments...); err == nil || !strings.Contains(err.Error(), want) || exitCode(err) != 2 {
			t.Errorf("%q: error %v, exit code %d, want %q and 2", text, err, exitCode(err), want)
		}
	}
	if _, err := runCommand(t, append(arguments[:len(arguments)-2], "--user", "alice", "--user", "b\x07b")...); err == nil || !strings.Contains(err.Error(), "--user: user contains a control character") {
		t.Errorf("invalid --user: error %v", err)
	}
	if got := left(); !slices.Equal(got, users) {
		t.Errorf("only %q are there after lists that were rejected, want all", got)
	}
}

func encodeUTF16(text string) string {
	var out []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		out = append(out, byte(unit), byte(unit>>8))
	}
	return string(out)
}

func TestForgetAndExportReportMissingFlags(t *testing.T) {
	for line, want := range map[string]string{
		"forget --redis r:1 --kafka k:1":      "--user or --users-file is required",
		"forget --redis r:1 --user ann":       "--kafka is required",
		"forget --kafka k:1 --user ann":       "--redis is required",
		"forget --users-file /nowhere/at-all": "--users-file: open /nowhere/at-all",
		"export --redis r:1":                  "name one file to write",
		"export all.csv":                      "--redis is required",
	} {
		err := newApp().Run(t.Context(), strings.Fields("genrec "+line))
		if err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("genrec %s: error %v, want one with %q", line, err, want)
		}
	}
}

// The genrec commands in docs/REDIS.md succeed.
func TestRedisPageCommands(t *testing.T) {
	servers, _ := embeddedtest.Start(t)
	page, err := os.ReadFile("../../docs/REDIS.md")
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer(
		"localhost:9092", servers.KafkaBrokers()[0], "localhost:6379", servers.RedisAddr(),
		"events.jsonl.zst", filepath.Join(t.TempDir(), "events.jsonl.zst"),
	)
	found := regexp.MustCompile(`(?m)^genrec .*$`).FindAllString(string(page), -1)
	if len(found) < 2 {
		t.Fatalf("docs/REDIS.md shows the commands %q, want export and forget", found)
	}
	for _, line := range found {
		app := newApp()
		app.Writer = &bytes.Buffer{}
		if err := app.Run(t.Context(), strings.Fields(here.Replace(line))); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// An id may contain a comma; forget warns if it was probably meant as several users.
func TestForgetIDsWithCommas(t *testing.T) {
	servers, rdb := embeddedtest.Start(t)
	store, err := sessions.Open(t.Context(), rdb, sessions.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"ann, bob", "ann"} {
		e := event.Event{ID: "of-" + user, Item: "hat", Type: event.DefaultType, Time: time.Now().UTC().Truncate(time.Millisecond)}
		if _, err := store.Append(t.Context(), []sessions.UserEvents{{User: user, Events: []event.Event{e}}}); err != nil {
			t.Fatal(err)
		}
	}
	logger := slog.Default()
	defer slog.SetDefault(logger)
	for _, c := range []struct {
		user, want string
		warns      bool
	}{
		{"ann,bob", "1 users forgotten, 0 of them", true},
		{"ann, bob", "1 users forgotten, 1 of them", false},
	} {
		said := stderrOf(t, func() {
			printed, err := runCommand(t, "forget", "--redis", servers.RedisAddr(), "--kafka", servers.KafkaBrokers()[0], "--user", c.user)
			if err != nil || !strings.Contains(printed, c.want) {
				t.Errorf("forget --user %q: error %v, printed %q, want %q", c.user, err, printed, c.want)
			}
		})
		if warns := bytes.Contains(said, []byte("contains a comma")); warns != c.warns {
			t.Errorf("forget --user %q warns of the comma: %v, want %v:\n%s", c.user, warns, c.warns, said)
		}
	}
	if left, err := store.Sequences(t.Context(), []string{"ann"}); err != nil || len(left[0].Interactions) != 1 {
		t.Errorf("ann, whom nobody wanted to forget, has %+v (error %v)", left, err)
	}
}
