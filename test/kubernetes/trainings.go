package main

import (
	"context"
	"encoding/json"
	"fmt"
)

// ending is how a training's pod ends, and what is to become of the job.
type ending struct {
	job     string
	code    int
	drained bool // its node
	again   bool // there is to be another pod
	failed  int  // that are to count against the limit
}

var endings = []ending{
	{job: "refused", code: 3, failed: 1},
	{job: "without-data", code: 5, failed: 1},
	{job: "crashed", code: 137, again: true, failed: 1},
	{job: "drained", code: 137, drained: true, again: true},
}

// endTrainings lets the pods of trainings end, in the place of the nodes, which are kept from
// running them, and waits for what the controllers make of it.
func (s *story) endTrainings(ctx context.Context) error {
	kubectl := "kubectl --namespace " + s.r.namespace + " "
	if err := s.runAll(ctx, "kubectl cordon --selector kubernetes.io/os=linux"); err != nil {
		return err
	}
	for _, e := range endings {
		if _, err := s.run(ctx, kubectl+"create job "+e.job+" --from=cronjob/"+s.r.part("retrain")); err != nil {
			return err
		}
		if err := await(ctx, "job "+e.job, func(ctx context.Context) error { return s.end(ctx, e) }); err != nil {
			return err
		}
	}
	for _, e := range endings {
		if err := await(ctx, "job "+e.job, func(ctx context.Context) error { return s.missingAfter(ctx, e) }); err != nil {
			return err
		}
	}
	if err := s.runAll(ctx, "kubectl uncordon --selector kubernetes.io/os=linux"); err != nil {
		return err
	}
	for _, e := range endings {
		if e.again { // and is not killed this time
			if _, err := s.run(ctx, kubectl+"wait --for=condition=Complete --timeout=60s job/"+e.job); err != nil {
				return err
			}
		}
	}
	return s.runAll(ctx, kubectl+"delete jobs --all")
}

// end says of the job's pod, once there is one, that it has ended.
func (s *story) end(ctx context.Context, e ending) error {
	all, err := s.get(ctx, s.r.namespace, "pods")
	if err != nil {
		return err
	}
	pods := all.with("batch.kubernetes.io/job-name", e.job)
	if len(pods) == 0 {
		return fmt.Errorf("it has no pod")
	}
	type object map[string]any
	c := pods[0].Spec.Containers[0]
	status := object{"phase": "Failed", "containerStatuses": []object{{
		"name": c.Name, "image": c.Image, "imageID": "", "ready": false, "restartCount": 0,
		"state": object{"terminated": object{"exitCode": e.code}},
	}}}
	if e.drained {
		status["conditions"] = []object{{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "drained"}}
	}
	patch, err := json.Marshal(object{"status": status})
	if err != nil {
		return err
	}
	_, err = s.run(ctx, fmt.Sprintf("kubectl --namespace %s patch %s --subresource=status --patch '%s'", s.r.namespace, pods[0], patch))
	return err
}

// missingAfter tells what has not become of the job yet.
func (s *story) missingAfter(ctx context.Context, e ending) error {
	all, err := s.get(ctx, s.r.namespace, "jobs,pods")
	if err != nil {
		return err
	}
	job, _ := all.named("Job", e.job)
	pods := all.of("Pod").with("batch.kubernetes.io/job-name", e.job)
	wanted, ended := 1, !e.again
	if e.again {
		wanted = 2
	}
	if len(pods) != wanted || job.Status.Failed != e.failed || job.is("Failed") != ended {
		return fmt.Errorf("a training that ends with exit code %d has %d pods, %d of them failed, and its job has ended: %t; want %d, %d, %t",
			e.code, len(pods), job.Status.Failed, job.is("Failed"), wanted, e.failed, ended)
	}
	return nil
}
