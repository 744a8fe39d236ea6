package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// commands are the commands of a page, by phase.
type commands struct {
	builds  []string // before the services start
	up      string   // starts all services
	compose []string // the part of up before its subcommand
	later   []string // while the services run; NAME is any container of genrec
}

var (
	shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)\n```")
	inText     = regexp.MustCompile("`(docker [^`]+)`")
)

// readPage finds the commands in shell blocks and sentences of sections.
func readPage(page string, sections ...string) (commands, error) {
	var c commands
	for _, section := range sections {
		_, text, found := strings.Cut(page, "\n## "+section+"\n")
		if !found {
			return c, fmt.Errorf("no section %q", section)
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
				return c, fmt.Errorf("both %q and %q start all services: want one", c.up, line)
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
		return c, errors.New("a line is missing: want one with docker build, one with up, and others")
	}
	return c, nil
}

// interactive replaces NAME. A line with -it runs in a pseudo-terminal, with a command that checks the
// user ID in the shell that it opens.
func interactive(line, container string) string {
	line = strings.Replace(line, " NAME ", " "+container+" ", 1)
	if !strings.Contains(line, " -it ") {
		return line
	}
	return fmt.Sprintf("echo '[ $(busybox id -u) = 65532 ]; exit' | script --quiet --return --command '%s' /dev/null", line)
}
