package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"genrec/pkg/recs"
	"genrec/test/harness"
)

// gpuFile extends the Compose file on machines with a GPU; here it is only validated.
const gpuFile = "deploy/compose/compose.gpu.yaml"

// stack is the Compose project.
type stack struct {
	*shell
	compose         []string
	services        []string
	healthy         int
	up              time.Duration // until all services were healthy
	recommendations time.Duration // from the first event to recommendations by a model
}

func (s *stack) docker(ctx context.Context, args ...string) (string, error) {
	args = append(slices.Clone(s.compose), args...)
	return s.output(ctx, args[0], args[1:]...)
}

// checkPrerequisites fails if the project has volumes, which the test would remove, or if a port is in use.
func (s *stack) checkPrerequisites(ctx context.Context) error {
	out, err := s.docker(ctx, "config", "--format", "json")
	if err != nil {
		return err
	}
	var project struct {
		Name     string `json:"name"`
		Services map[string]struct {
			Ports []struct {
				HostIP    string `json:"host_ip"`
				Published string `json:"published"`
			} `json:"ports"`
		} `json:"services"`
	}
	if err := json.Unmarshal([]byte(out), &project); err != nil {
		return fmt.Errorf("decode the output of docker compose config: %w", err)
	}
	if _, err := s.docker(ctx, "--file", gpuFile, "config", "--quiet"); err != nil {
		return err
	}
	volumes, err := s.output(ctx, "docker", "volume", "ls", "--quiet", "--filter", "label=com.docker.compose.project="+project.Name)
	if err != nil {
		return err
	}
	if volumes != "" {
		return fmt.Errorf("project %s has volumes, which this test would remove; if they are not needed, run: %s down --volumes", project.Name, strings.Join(s.compose, " "))
	}
	for name, service := range project.Services {
		s.services = append(s.services, name)
		for _, port := range service.Ports {
			listener, err := net.Listen("tcp", net.JoinHostPort(port.HostIP, port.Published))
			if err != nil {
				return fmt.Errorf("service %s needs port %s: %w; stop the program that uses it", name, port.Published, err)
			}
			if err := listener.Close(); err != nil {
				return err
			}
		}
	}
	slices.Sort(s.services)
	return nil
}

// test starts the services, uses them, and removes them.
func (s *stack) test(ctx context.Context, c commands) (err error) {
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
		defer cancel()
		if err != nil {
			err = errors.Join(err, s.saveLogs(ctx))
		}
		_, downErr := s.docker(ctx, "down", "--volumes", "--remove-orphans")
		err = errors.Join(err, downErr)
	}()
	if err := s.start(ctx, c.up); err != nil {
		return err
	}
	if err := s.use(ctx); err != nil {
		return err
	}
	container, err := s.docker(ctx, "ps", "--format", "{{.Name}}", "infer")
	if err != nil {
		return err
	}
	for _, line := range c.later {
		if err := s.run(ctx, interactive(line, strings.TrimSpace(container))); err != nil {
			return err
		}
	}
	return s.restart(ctx, c.up)
}

// start starts all services and waits until they are healthy.
func (s *stack) start(ctx context.Context, line string) error {
	started := time.Now()
	if err := s.run(ctx, line); err != nil {
		return err
	}
	if err := harness.Eventually(ctx, "every service runs and is healthy", 3*time.Minute, func(ctx context.Context) error { return s.checkHealth(ctx) }); err != nil {
		return err
	}
	s.up = time.Since(started)
	return nil
}

func (s *stack) checkHealth(ctx context.Context) error {
	out, err := s.docker(ctx, "ps", "--all", "--format", "json")
	if err != nil {
		return err
	}
	s.healthy = 0
	missing := slices.Clone(s.services)
	var problems []error
	for line := range strings.Lines(out) {
		var container struct{ Service, State, Health string }
		if err := json.Unmarshal([]byte(line), &container); err != nil {
			return fmt.Errorf("decode the output of docker compose ps: %w", err)
		}
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == container.Service })
		switch {
		case container.State != "running" || container.Health != "" && container.Health != "healthy":
			problems = append(problems, fmt.Errorf("%s is %s %s", container.Service, container.State, container.Health))
		default:
			s.healthy++
		}
	}
	if len(missing) > 0 {
		problems = append(problems, fmt.Errorf("no containers of %v", missing))
	}
	return errors.Join(problems...)
}

func (s *stack) saveLogs(ctx context.Context) error {
	path := s.logs + "/services.log"
	out, err := s.docker(ctx, "logs", "--no-color", "--timestamps")
	if err == nil {
		err = os.WriteFile(path, []byte(out), 0o644)
	}
	if err != nil {
		return fmt.Errorf("save the logs of the services: %w", err)
	}
	return fmt.Errorf("the logs of the services are in %s", path)
}

// restart removes and recreates the containers and checks that the data in the volumes was kept.
func (s *stack) restart(ctx context.Context, up string) error {
	if _, err := s.docker(ctx, "down"); err != nil {
		return err
	}
	first := s.up
	if err := s.start(ctx, up); err != nil {
		return fmt.Errorf("with existing volumes: %w", err)
	}
	s.up = first
	answer, err := recommended(ctx)
	if err == nil && answer.Source != recs.SourceModel {
		err = fmt.Errorf("user %s has recommendations of source %q", reader, answer.Source)
	}
	if err != nil {
		return fmt.Errorf("after the containers were recreated with their volumes: %w", err)
	}
	return nil
}
