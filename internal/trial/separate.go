package trial

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"time"

	"oddish/internal/result"
	"oddish/internal/sandbox"
	"oddish/internal/task"
)

// verifierSuffix ends the name of a separate verifier's sandbox, which begins with the trial's.
const verifierSuffix = "-verifier"

// IsSandboxOf reports whether a sandbox of that name belongs to the trial.
func IsSandboxOf(sandboxName, trialName string) bool {
	return sandboxName == trialName || sandboxName == trialName+verifierSuffix
}

// separatePlan is how the verifier gets a sandbox of its own.
type separatePlan struct {
	spec        sandbox.Spec
	build       time.Duration // limit of its start
	upload      bool          // the image does not bring the tests
	healthcheck *task.Healthcheck
}

// planVerifier decides where the verifier of a step runs, and refuses a sandbox that cannot be made.
func (r *run) planVerifier(p *plan, s *stepPlan) error {
	if p.disabled || s.Verifier.EnvironmentMode != task.ModeSeparate {
		return nil
	}
	env := s.Verifier.Environment
	sep := &separatePlan{build: buildTimeout(env, r.Spec.Harbor)}
	if s.OwnEnvironment {
		sep.healthcheck = env.Healthcheck
	}
	var err error
	if sep.spec.Env, err = r.resolveEnv(s.of("verifier.environment.env"), env.Env, r.environmentEnv()); err != nil {
		return err
	}
	r.describeSandbox(&sep.spec, env)
	if !s.OwnEnvironment {
		if err := r.openEnvironment(&sep.spec); err != nil {
			return err
		}
	}
	sep.spec.Name = r.Spec.TrialName + verifierSuffix
	choose := r.verifierImage
	if s.VerifierComposePath() != "" {
		choose = r.verifierServices
	}
	if err := choose(p, s, sep); err != nil {
		return err
	}
	s.separate = sep
	return r.checkLimits(&sep.spec)
}

// verifierImage chooses the image of a separate verifier: the machine's own tools where the task and the provider allow that, else its prebuilt
// image, else the Dockerfile beside the tests.
func (r *run) verifierImage(p *plan, s *stepPlan, sep *separatePlan) error {
	can, env := r.Provider.Capabilities(), s.Verifier.Environment
	_, err := os.Stat(filepath.Join(s.VerifierContext, task.Dockerfile))
	dockerfile := err == nil
	image := &sep.spec.Image
	switch {
	case env.Oddish.Image == task.ImageHost && can.HostImage:
		image.Host, sep.upload = true, true
	case env.DockerImage != "" && can.Images:
		image.Reference = env.DockerImage
	case dockerfile && can.Build:
		digest, err := p.task.VerifierDigest(&s.Part)
		if err != nil {
			return result.Errorf(result.OSError, "%w", err)
		}
		image.Context, image.Digest = s.VerifierContext, digest
	case dockerfile:
		return result.Errorf(result.UnsupportedTaskError, "the %s sandbox builds no Dockerfiles, and the separate verifier has one and no docker_image: use --env docker, or, "+
			`if the machine's own tools will do for it, image = "host" under [verifier.environment.oddish]`, r.Provider.Kind())
	default:
		return result.Errorf(result.UnsupportedTaskError, "the separate verifier has no image that the %s sandbox can run: give it a Dockerfile beside its tests, which copies them to /tests, or a docker_image with them",
			r.Provider.Kind())
	}
	return nil
}

// verifierServices says what services a separate verifier is one of, and refuses a provider that has none.
func (r *run) verifierServices(p *plan, s *stepPlan, sep *separatePlan) error {
	can, env := r.Provider.Capabilities(), s.Verifier.Environment
	file, err := filepath.Rel(p.task.Dir, s.VerifierComposePath())
	if err != nil {
		return result.Errorf(result.OSError, "%w", err)
	}
	if !can.Compose {
		return result.Errorf(result.UnsupportedTaskError, "the %s sandbox runs no services, and the separate verifier has %s: use --env docker", r.Provider.Kind(), file)
	}
	vars, err := s.VerifierComposeVars()
	if err != nil {
		return result.Errorf(result.ValueError, "%s: %w", file, err)
	}
	digest, err := p.task.VerifierDigest(&s.Part)
	if err != nil {
		return result.Errorf(result.OSError, "%w", err)
	}
	sep.spec.Compose = &sandbox.Compose{Dir: s.VerifierContext, Files: []string{s.VerifierComposePath()}, Digest: digest, Env: r.composeEnv(vars, sep.spec.Env)}
	image := &sep.spec.Image
	image.Reference = env.DockerImage
	if _, err := os.Stat(filepath.Join(s.VerifierContext, task.Dockerfile)); err == nil && image.Reference == "" {
		image.Context, image.Digest = s.VerifierContext, digest
	}
	return nil
}

// startVerifier gives the verifier its sandbox, with what was collected from the agent's and nothing else of it. The agent's is stopped before,
// unless further steps need it.
func (r *run) startVerifier(ctx context.Context) error {
	s := r.step
	if s.stepPlan == r.plan.steps[len(r.plan.steps)-1] {
		err := r.phase(ctx, s.phase(phaseAgentStop), nil, 0, "", func(ctx context.Context) error {
			if r.Keep != nil {
				return nil // somebody may want to look into it; stop is what stops it
			}
			_ = r.stopBox(ctx, r.box) // told; what is left of it reaches no verifier
			r.box = nil
			return nil
		})
		if err != nil {
			return err
		}
	}
	r.attachVerifier(ctx)
	return r.phase(ctx, s.phase(phaseSeparate), nil, s.separate.build, result.EnvironmentStartTimeoutError, func(ctx context.Context) error {
		if err := r.startVerifierBox(ctx); err != nil {
			return err
		}
		return r.handOver(ctx)
	})
}

// attachVerifier attaches to the sandbox in which a former process had the verifier of this step. If it is gone, another is started.
func (r *run) attachVerifier(ctx context.Context) {
	s, f := r.step, &r.former
	id := f.verifiers[s.number]
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attachTimeout)
	defer cancel()
	box, err := r.reach(ctx, id)
	if err == nil {
		s.box = journaled{box, r.journal}
		return
	}
	if _, over := f.ended[s.phase(phaseVerifier)]; over {
		return
	}
	r.log.Warn("the verifier's sandbox is gone and is started again", "id", id, "error", err)
	f.forgetVerifier(s.stepPlan)
	s.verifying = false
}

func (r *run) startVerifierBox(ctx context.Context) error {
	s := r.step
	if s.box != nil {
		return nil
	}
	box, err := r.startBox(ctx, s.separate.spec)
	if err != nil {
		return fmt.Errorf("start %s sandbox for the verifier: %w", r.Provider.Kind(), err)
	}
	r.journal.add(Entry{Event: eventSandbox, Step: s.number, Kind: r.Provider.Kind(), ID: box.ID(), Verifier: true})
	r.log.Info("verifier's sandbox started", "sandbox", r.Provider.Kind(), "id", box.ID())
	s.box = journaled{box, r.journal}
	if s.separate.healthcheck != nil {
		return r.healthcheck(ctx, s.box, s.separate.healthcheck)
	}
	return nil
}

// stopVerifier stops the verifier's sandbox, whose work is over.
func (r *run) stopVerifier(ctx context.Context) {
	_ = r.stopBox(ctx, r.step.box) // told
	r.step.box = nil
}

// findTests looks whether the image of a separate verifier has the tests, and makes them executable.
func (r *run) findTests(ctx context.Context, box sandbox.Sandbox) error {
	script := path.Join(testsDir, r.plan.task.TestScript())
	code, err := box.Exec(ctx, sandbox.Command{Label: "find-tests", Script: "[ -f " + sandbox.Quote(script) + " ]", Dir: "/", User: "0"})
	if err != nil {
		return addTests(err)
	}
	if code != 0 {
		return result.Errorf(result.FileNotFoundError, "the image of the separate verifier has no %s: its Dockerfile, beside the tests, must copy them to %s", script, testsDir)
	}
	if err := r.asRoot(ctx, box, "chmod", "chmod +x "+sandbox.Quote(script)); err != nil {
		return addTests(err)
	}
	return nil
}
