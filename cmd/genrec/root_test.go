package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// eachCommand calls do for every command, with its command line.
func eachCommand(commands []*cli.Command, before string, do func(line string, command *cli.Command)) {
	for _, command := range commands {
		line := before + " " + command.Name
		do(line, command)
		eachCommand(command.Commands, line, do)
	}
}

var exampleLine = regexp.MustCompile(`(?m)(?:^|\s{2,}|=\S+ )(genrec .*)$`)

// examples are the command lines in a description.
func examples(description string) (lines []string) {
	for _, match := range exampleLine.FindAllStringSubmatch(strings.ReplaceAll(description, "\\\n", " "), -1) {
		line, _, _ := strings.Cut(match[1], " > ") // where the output goes
		lines = append(lines, line)
	}
	return lines
}

// Every command has a description, with examples that it accepts.
func TestHelpOfEveryCommand(t *testing.T) {
	eachCommand(newApp().Commands, "genrec", func(line string, command *cli.Command) {
		if command.Usage == "" || command.Description == "" {
			t.Errorf("%s needs a Usage and a Description", line)
		}
		shown := examples(command.Description)
		if len(shown) == 0 {
			t.Errorf("%s needs an example in its Description, a line with genrec and flags", line)
		}
		for _, example := range shown {
			if !strings.HasPrefix(example, line) {
				t.Errorf("%s shows %q, which is another command", line, example)
			}
			checkExample(t, example)
		}
	})
}

// checkExample parses an example as a shell would pass it, without running the command.
func checkExample(t *testing.T, line string) {
	t.Helper()
	words, err := exec.Command("bash", "-c", `printf '%s\n' `+strings.TrimPrefix(line, "genrec ")).Output()
	if err != nil {
		t.Fatalf("bash does not read %q: %v", line, err)
	}
	app, ran := newApp(), strings.HasPrefix(line, "genrec completion ") // which the library runs
	app.Writer = io.Discard
	eachCommand(app.Commands, "genrec", func(_ string, command *cli.Command) {
		command.Action = func(context.Context, *cli.Command) error { ran = true; return nil }
	})
	args := strings.Split(strings.TrimSuffix(string(words), "\n"), "\n")
	args = slices.DeleteFunc(args, func(word string) bool { return word == "genrec.yaml" || word == "--config" }) // is not there
	if err := app.Run(t.Context(), append([]string{"genrec"}, args...)); err != nil || !ran {
		t.Errorf("genrec does not take its example %q: %v", line, err)
	}
}

// A flag has the same variable, type and default in all commands.
func TestFlagsAreTheSameEverywhere(t *testing.T) {
	type meaning struct {
		command, kind string
		value         any
	}
	known := make(map[string]meaning)
	eachCommand(newApp().Commands, "genrec", func(line string, command *cli.Command) {
		for _, flag := range command.Flags {
			name, doc := flag.Names()[0], flag.(cli.DocGenerationFlag)
			if want := []string{"GENREC_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))}; !slices.Equal(doc.GetEnvVars(), want) {
				t.Errorf("%s --%s has the variables %v, want %v", line, name, doc.GetEnvVars(), want)
			}
			if doc.GetUsage() == "" {
				t.Errorf("%s --%s has no Usage", line, name)
			}
			m := meaning{command: line, kind: reflect.TypeOf(flag.Get()).String(), value: flag.Get()}
			before, twice := known[name]
			if !twice {
				known[name] = m
				continue
			}
			if before.kind != m.kind || !reflect.DeepEqual(before.value, m.value) {
				t.Errorf("--%s is a %s, by default %v, of %q, and a %s, %v, of %q: one file cannot serve both",
					name, before.kind, before.value, before.command, m.kind, m.value, m.command)
			}
		}
	})
	if len(known) < 60 {
		t.Errorf("there are %d flags: this test does not see them", len(known))
	}
}

// Commands, subcommands and flags are completed, by the scripts for bash, zsh and fish, too, if
// these are installed.
func TestCompletion(t *testing.T) {
	for line, want := range map[string]string{
		"models":                "rollback",
		"ingest --kafka-sa":     "--kafka-sasl",
		"retrain --max":         "--max-memory",
		"config":                "check",
		"completion":            "fish",
		"models compare --redi": "--redis-ca",
	} {
		printed, err := runCommand(t, append(strings.Fields(line), "--generate-shell-completion")...)
		if err != nil || !slices.Contains(completions(printed), want) {
			t.Errorf("of %q, %q is completed by (%v)\n%s", line, want, err, printed)
		}
	}
	binary := filepath.Join(t.TempDir(), "genrec")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n"+asProgram+"=1 exec "+self+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(binary, "--generate-shell-completion").Output(); err != nil || !slices.Contains(completions(string(out)), "ingest") {
		t.Errorf("of nothing, genrec is completed by (%v)\n%s", err, out)
	}
	for shell, script := range map[string]string{
		"bash": `_comp_initialize() { :; } # of the package bash-completion
			source <(genrec completion bash)
			COMP_WORDS=(genrec ingest --kafka-sa) COMP_CWORD=2
			$(complete -p genrec | sed 's/.*-F \([^ ]*\).*/\1/')
			printf '%s\n' "${COMPREPLY[@]}"`,
		"zsh": `compdef() { :; }; _describe() { print -l -- $opts; }
			source <(genrec completion zsh)
			words=(genrec ingest --kafka-sa); _genrec`,
		"fish": `genrec completion fish | source; complete -C 'genrec ingest --kafka-sa'`,
	} {
		t.Run(shell, func(t *testing.T) {
			cmd := exec.Command(shell, "-c", script)
			cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"), "SHELL="+shell)
			out, err := cmd.CombinedOutput()
			if errors.Is(err, exec.ErrNotFound) {
				t.Skip(shell + " is not installed")
			}
			if err != nil || !strings.Contains(string(out), "--kafka-sasl") {
				t.Errorf("its script completes --kafka-sa by (%v)\n%s", err, out)
			}
		})
	}
}

// completions are the words that a shell would offer.
func completions(printed string) (words []string) {
	for line := range strings.Lines(printed) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		words = append(words, word)
	}
	return words
}
