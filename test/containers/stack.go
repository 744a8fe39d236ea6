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

// gpuFile comes behind the first one where there is a GPU; here it is only read.
const gpuFile = "deploy/compose/compose.gpu.yaml"

// stack is what docker compose runs.
type stack struct {
	*shell
	compose         []string
	services        []string
	healthy         int
	up              time.Duration // until all was healthy
	recommendations time.Duration // from the first event to a list by a model
}

func (s *stack) docker(ctx context.Context, args ...string) (string, error) {
	args = append(slices.Clone(s.compose), args...)
	return s.ask(ctx, args[0], args[1:]...)
}

// takePlace makes sure that nothing is in the way, and nothing of somebody else is taken down at the end.
func (s *stack) takePlace(ctx context.Context) error {
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
		return fmt.Errorf("what docker compose config prints: %w", err)
	}
	if _, err := s.docker(ctx, "--file", gpuFile, "config", "--quiet"); err != nil {
		return err
	}
	volumes, err := s.ask(ctx, "docker", "volume", "ls", "--quiet", "--filter", "label=com.docker.compose.project="+project.Name)
	if err != nil {
		return err
	}
	if volumes != "" {
		return fmt.Errorf("there are volumes of the project %s already, which this test would remove: if nobody needs them: %s down --volumes", project.Name, strings.Join(s.compose, " "))
	}
	for name, service := range project.Services {
		s.services = append(s.services, name)
		for _, port := range service.Ports {
			listener, err := net.Listen("tcp", net.JoinHostPort(port.HostIP, port.Published))
			if err != nil {
				return fmt.Errorf("%s is to have port %s of this machine: %w: stop what has it", name, port.Published, err)
			}
			if err := listener.Close(); err != nil {
				return err
			}
		}
	}
	slices.Sort(s.services)
	return nil
}

// live starts the services, uses them, and takes them down.
func (s *stack) live(ctx context.Context, c commands) (err error) {
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
		defer cancel()
		if err != nil {
			err = errors.Join(err, s.keepLogs(ctx))
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
		if err := s.run(ctx, typed(line, strings.TrimSpace(container))); err != nil {
			return err
		}
	}
	return s.outlast(ctx, c.up)
}

// start runs the line that starts all services, and waits until all are well.
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
			return fmt.Errorf("what docker compose ps prints: %w", err)
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
		problems = append(problems, fmt.Errorf("there are no containers of %v", missing))
	}
	return errors.Join(problems...)
}

func (s *stack) keepLogs(ctx context.Context) error {
	path := s.logs + "/services.log"
	out, err := s.docker(ctx, "logs", "--no-color", "--timestamps")
	if err == nil {
		err = os.WriteFile(path, []byte(out), 0o644)
	}
	if err != nil {
		return fmt.Errorf("keep the services' logs: %w", err)
	}
	return fmt.Errorf("what the services logged is in %s", path)
}

// outlast looks whether all but what was started anew is as before, after the containers were
// removed and made again.
func (s *stack) outlast(ctx context.Context, up string) error {
	if _, err := s.docker(ctx, "down"); err != nil {
		return err
	}
	first := s.up
	if err := s.start(ctx, up); err != nil {
		return fmt.Errorf("on the volumes of before: %w", err)
	}
	s.up = first
	answer, err := recommended(ctx)
	if err == nil && answer.Source != recs.SourceModel {
		err = fmt.Errorf("user %s has recommendations of the source %q", reader, answer.Source)
	}
	if err != nil {
		return fmt.Errorf("after the containers were made anew on their volumes: %w", err)
	}
	return nil
}
