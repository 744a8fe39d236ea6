package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// pages has the commands and files of docs/DEPLOY.md and docs/TRAINING.md for Kubernetes.
type pages struct {
	values string   // content of values.yaml
	lines  []string // commands of helm and kubectl
	job    string   // manifest of the distributed training job
}

var blocks = regexp.MustCompile("(?s)```(yaml|sh)\n(.*?)```")

func readPages() (p pages, err error) {
	deploy, err := os.ReadFile("docs/DEPLOY.md")
	if err != nil {
		return p, fmt.Errorf("read the commands to run: %w", err)
	}
	training, err := os.ReadFile("docs/TRAINING.md")
	if err != nil {
		return p, fmt.Errorf("read the training job: %w", err)
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
		return p, errors.New("docs/DEPLOY.md must contain values and commands, and docs/TRAINING.md a job")
	}
	return p, nil
}
