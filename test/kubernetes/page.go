package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// pages are what docs/DEPLOY.md and docs/TRAINING.md tell people to type for Kubernetes.
type pages struct {
	values string   // the text of values.yaml
	lines  []string // that begin with helm or kubectl
	job    string   // docs/TRAINING.md's training in several pods
}

var blocks = regexp.MustCompile("(?s)```(yaml|sh)\n(.*?)```")

func readPages() (p pages, err error) {
	deploy, err := os.ReadFile("docs/DEPLOY.md")
	if err != nil {
		return p, fmt.Errorf("read the page whose lines are to be run: %w", err)
	}
	training, err := os.ReadFile("docs/TRAINING.md")
	if err != nil {
		return p, fmt.Errorf("read the page that has a job of several pods: %w", err)
	}
	for _, block := range blocks.FindAllStringSubmatch(string(training), -1) {
		if strings.HasPrefix(block[2], "apiVersion:") {
			p.job = block[2]
		}
	}
	for _, block := range blocks.FindAllStringSubmatch(string(deploy), -1) {
		if block[1] == "yaml" {
			p.values = block[2]
			continue
		}
		for line := range strings.Lines(block[2]) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "helm ") || strings.HasPrefix(line, "kubectl ") {
				p.lines = append(p.lines, line)
			}
		}
	}
	if p.values == "" || len(p.lines) == 0 || p.job == "" {
		return p, errors.New("docs/DEPLOY.md shows no values or no lines of helm, or docs/TRAINING.md no job: what is to be tried?")
	}
	return p, nil
}
