package main

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestReadPage(t *testing.T) {
	const page = "# Page\n\n## Before\n\n```sh\nmake coffee\n```\n\n## Images\n\nText, then\n\n```sh\ndocker build -t genrec .\n```\n\n" +
		"and (`docker exec -it NAME sh`), but `genrec` is no command.\n\n" +
		"## On one machine\n\n```sh\ndocker compose -f a.yaml up --detach\n```\n\n```sh\ndocker compose -f a.yaml run --rm infer doctor\ncurl localhost\n```\n\n" +
		"## After\n\n```sh\nhelm install\n```\n"
	want := commands{
		builds:  []string{"docker build -t genrec ."},
		up:      "docker compose -f a.yaml up --detach",
		compose: []string{"docker", "compose", "-f", "a.yaml"},
		later:   []string{"docker exec -it NAME sh", "docker compose -f a.yaml run --rm infer doctor", "curl localhost"},
	}
	got, err := readPage(page, "Images", "On one machine")
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v (error %v), want %+v", got, err, want)
	}
	for remove, says := range map[string]string{
		"## Images":                `no section "Images"`,
		"docker build -t genrec .": "a line is missing",
		" up --detach":             "a line is missing",
	} {
		if _, err := readPage(strings.Replace(page, remove, "", 1), "Images", "On one machine"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("without %q, the error is %v, want %q in it", remove, err, says)
		}
	}
	twice := strings.Replace(page, "curl localhost", want.up, 1)
	if _, err := readPage(twice, "Images", "On one machine"); err == nil || !strings.Contains(err.Error(), "want one") {
		t.Errorf("with two lines that start all services, the error is %v", err)
	}
}

func TestReadDeployPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/DEPLOY.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readPage(string(text), "Images", "On one machine"); err != nil {
		t.Error(err)
	}
}

func TestInteractive(t *testing.T) {
	if got, want := interactive("docker compose run --rm infer doctor", "genrec-infer-1"), "docker compose run --rm infer doctor"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got := interactive("docker exec -it NAME busybox sh", "genrec-infer-1")
	if !strings.Contains(got, "script ") || !strings.Contains(got, "'docker exec -it genrec-infer-1 busybox sh'") {
		t.Errorf("got %q, want the line with the container's name, in a terminal", got)
	}
}
