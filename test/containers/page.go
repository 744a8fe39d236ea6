package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// commands are those of a page, by when they can run.
type commands struct {
	builds  []string // before anything is up
	up      string   // starts all services
	compose []string // up's beginning, with which other questions about the services begin
	later   []string // while all is up; NAME is any container of genrec
}

var (
	shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)\n```")
	inText     = regexp.MustCompile("`(docker [^`]+)`")
)

// readPage finds the commands in sections of a page, in blocks for a shell and in sentences.
func readPage(page string, sections ...string) (commands, error) {
	var c commands
	for _, section := range sections {
		_, text, found := strings.Cut(page, "\n## "+section+"\n")
		if !found {
			return c, fmt.Errorf("there is no section %q", section)
		}
		text, _, _ = strings.Cut(text, "\n## ")
		var lines []string
		for _, block := range shellBlock.FindAllStringSubmatch(text, -1) {
			lines = append(lines, strings.Split(block[1], "\n")...)
		}
		for _, command := range inText.FindAllStringSubmatch(text, -1) {
			lines = append(lines, command[1])
		}
		for _, line := range lines {
			beginning, _, isUp := strings.Cut(line, " up ")
			switch {
			case isUp && c.up != "":
				return c, fmt.Errorf("both %q and %q start all services, and this test knows one", c.up, line)
			case isUp:
				c.up, c.compose = line, strings.Fields(beginning)
			case strings.HasPrefix(line, "docker build "):
				c.builds = append(c.builds, line)
			default:
				c.later = append(c.later, line)
			}
		}
	}
	if c.up == "" || len(c.builds) == 0 || len(c.later) == 0 {
		return c, errors.New("a line is missing that builds, one that starts all services with up, or one that asks them")
	}
	return c, nil
}

// typed is a line as somebody types it who has a terminal; in the shell that it opens, the user
// is the one whom the page promises.
func typed(line, container string) string {
	line = strings.Replace(line, " NAME ", " "+container+" ", 1)
	if !strings.Contains(line, " -it ") {
		return line
	}
	return fmt.Sprintf("echo '[ $(busybox id -u) = 65532 ]; exit' | script --quiet --return --command '%s' /dev/null", line)
}
