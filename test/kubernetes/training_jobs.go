package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// podEnding is how the pod of a training job ends, with the expected state of the job.
type podEnding struct {
	job     string
	code    int
	drained bool // with its node
	retried bool // the job must create another pod
	failed  int  // pods that must count against the backoff limit
}

var podEndings = []podEnding{
	{job: "refused", code: 3, failed: 1},
	{job: "without-data", code: 5, failed: 1},
	{job: "crashed", code: 137, retried: true, failed: 1},
	{job: "drained", code: 137, drained: true, retried: true},
}

// endTrainingJobs sets the status of the pods of training jobs, while all nodes are cordoned so that kwok
// does not, and waits for the reaction of the job controller.
func (s *scenario) endTrainingJobs(ctx context.Context) error {
	kubectl := "kubectl --namespace " + s.r.namespace + " "
	if err := s.runAll(ctx, "kubectl cordon --selector kubernetes.io/os=linux"); err != nil {
		return err
	}
	for _, e := range podEndings {
		if _, err := s.run(ctx, kubectl+"create job "+e.job+" --from=cronjob/"+s.r.resource("retrain")); err != nil {
			return err
		}
		if err := await(ctx, "job "+e.job, func(ctx context.Context) error { return s.endPod(ctx, e) }); err != nil {
			return err
		}
	}
	for _, e := range podEndings {
		if err := await(ctx, "job "+e.job, func(ctx context.Context) error { return s.checkJob(ctx, e) }); err != nil {
			return err
		}
	}
	if err := s.runAll(ctx, "kubectl uncordon --selector kubernetes.io/os=linux"); err != nil {
		return err
	}
	for _, e := range podEndings {
		if e.retried { // the second pod succeeds
			if _, err := s.run(ctx, kubectl+"wait --for=condition=Complete --timeout=60s job/"+e.job); err != nil {
				return err
			}
		}
	}
	return s.runAll(ctx, kubectl+"delete jobs --all")
}

// endPod sets the status of the job's pod to failed.
func (s *scenario) endPod(ctx context.Context, e podEnding) error {
	all, err := s.get(ctx, s.r.namespace, "pods")
	if err != nil {
		return err
	}
	pods := all.with("batch.kubernetes.io/job-name", e.job)
	if len(pods) == 0 {
		return errors.New("the job has no pod")
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

// checkJob returns an error unless the job is in the expected state.
func (s *scenario) checkJob(ctx context.Context, e podEnding) error {
	all, err := s.get(ctx, s.r.namespace, "jobs,pods")
	if err != nil {
		return err
	}
	job, _ := all.named("Job", e.job)
	pods := all.of("Pod").with("batch.kubernetes.io/job-name", e.job)
	wantPods, wantFailed := 1, !e.retried
	if e.retried {
		wantPods = 2
	}
	if len(pods) != wantPods || job.Status.Failed != e.failed || job.isTrue("Failed") != wantFailed {
		return fmt.Errorf("after exit code %d, the job has %d pods, %d of them failed, and has ended: %t; want %d, %d, %t",
			e.code, len(pods), job.Status.Failed, job.isTrue("Failed"), wantPods, e.failed, wantFailed)
	}
	return nil
}
