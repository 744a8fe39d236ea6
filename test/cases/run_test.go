package main

import (
	"regexp"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	st := step{exit: 1, matches: []string{`rows=\d+`, `--column`}, excludes: []string{`event_id`}}
	for _, c := range []struct {
		got   result
		wrong []string
	}{
		{result{1, "rows=2\nuse --column"}, nil},
		{result{0, "rows=2\nuse --column"}, []string{"the exit code is 0"}},
		{result{1, "rows=2"}, []string{`nothing matches "--column"`}},
		{result{-1, "event_id"}, []string{"the exit code is -1", "nothing matches", `"event_id" matches`}},
	} {
		got := st.check(c.got)
		if (got == "") != (c.wrong == nil) {
			t.Errorf("%+v: wrong is %q, want %q", c.got, got, c.wrong)
		}
		for _, want := range c.wrong {
			if !strings.Contains(got, want) {
				t.Errorf("%+v: wrong is %q, want %q in it", c.got, got, want)
			}
		}
	}
}

func TestCasesExpectSomething(t *testing.T) {
	for name, testCase := range cases {
		expects := 0
		for _, st := range testCase.steps {
			expects += len(st.matches) + len(st.excludes)
			for _, pattern := range append(st.matches, st.excludes...) {
				if _, err := regexp.Compile(pattern); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if expects == 0 {
			t.Errorf("%s expects nothing", name)
		}
	}
}
