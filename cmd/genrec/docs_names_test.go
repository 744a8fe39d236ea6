package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// Every command of genrec that a page mentions in its text is there, with its flags.
func TestPagesMentionCommandsThatThereAre(t *testing.T) {
	mentioned := 0
	for page := range pages(t) {
		text, err := os.ReadFile("../../" + page)
		if err != nil {
			t.Fatal(err)
		}
		text = regexp.MustCompile("(?s)```.*?```").ReplaceAll(text, nil) // run elsewhere
		for _, mention := range regexp.MustCompile("`(?:bin/)?genrec ([^`]+)`").FindAllStringSubmatch(string(text), -1) {
			mentioned++
			command := newApp().Command
			flags := knownFlags(command)
			for _, word := range strings.Fields(mention[1]) {
				name, _, _ := strings.Cut(word, "=")
				if strings.HasPrefix(name, "--") {
					if !flags[name] {
						t.Errorf("%s mentions %q, but genrec %s has no %s", page, mention[0], command.Name, name)
					}
					continue
				}
				if next := command.Command(word); next != nil {
					command = next
					for flag := range knownFlags(command) {
						flags[flag] = true
					}
				} else if len(command.Commands) > 0 {
					t.Errorf("%s mentions %q, but genrec has no such command", page, mention[0])
					break
				}
			}
		}
	}
	if mentioned == 0 {
		t.Error("the pages mention no command: does this test still know how they write them?")
	}
}

// knownFlags are those of one command.
func knownFlags(command *cli.Command) map[string]bool {
	known := map[string]bool{"--help": true}
	for _, flag := range command.Flags {
		for _, name := range flag.Names() {
			known["--"+name] = true
		}
	}
	return known
}
