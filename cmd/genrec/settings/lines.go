package settings

import (
	"strings"

	"github.com/urfave/cli/v3"
)

// LinesFlag takes values that may have commas, such as ids: one each time it is given, one a
// line in its variable, and a list in the file.
type LinesFlag = cli.FlagBase[[]string, cli.NoConfig, lines]

// lines is the value of a LinesFlag.
type lines struct {
	values *[]string
	set    bool // no longer the default
}

// Create implements cli.ValueCreator.
func (lines) Create(value []string, to *[]string, _ cli.NoConfig) cli.Value {
	*to = value
	return &lines{values: to}
}

// ToString implements cli.ValueCreator.
func (lines) ToString(values []string) string { return strings.Join(values, "\n") }

// Set implements cli.Value: it adds to what was set before.
func (l *lines) Set(text string) error {
	if !l.set {
		*l.values, l.set = nil, true
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			*l.values = append(*l.values, line)
		}
	}
	return nil
}

// Get implements cli.Value.
func (l *lines) Get() any { return *l.values }

func (l *lines) String() string { return l.ToString(*l.values) }
