# Each target sets up what it needs: a fresh clone and `make demo` are enough.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.up-to-date
ROOMS := methods platform rendering serve tune tests
TYPED := raylign.methods raylign.platform raylign.rendering raylign.serve raylign.tune

# A folder of real pairs for the leaderboard (see `raylign data info`); empty leaves them out.
PICTURES ?=
BOARD := runs/leaderboard
# Cases of each dataset on the leaderboard.
LIMIT ?= 60
RENDER := --size 256 --test-fraction 0.9 --val-fraction

STUDY := runs/crossscale
PASSES := 'matching-512[adapt=0,start=network]' 'matching-512[adapt=0,start=classical]' matching-512

DYNAMIC := runs/dsia

DIAR := runs/diar
SHOTS := --size 96 --scene.samples 8 --scene.denoise

.PHONY: setup lock demo boards leaderboard crossscale crossscale-checkpoint diar diar-networks diar-checkpoint dmaligner \
	dmaligner-vae dmaligner-checkpoint adm adm-checkpoint loftr loftr-checkpoint collage shots misaligned people still \
	eyes test test-slow bench lint format clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
		|| { echo "make setup: Python 3.11 is needed (Blender's module decides); set PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools wheel
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	mkdir -p .typing && ln -sfn .. .typing/raylign
	touch $(STAMP)

# Resolve the ranges of pyproject.toml anew and pin the result.
lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --upgrade pip setuptools wheel
	$(VENV)-lock/bin/python -m pip install --quiet '.[render,dev]'
	$(VENV)-lock/bin/python -m pip freeze --exclude raylign > requirements.lock
	rm -rf $(VENV)-lock

demo: setup
	$(BIN)/raylign demo

# The README's table: every method that can run here, on rendered test sets and PICTURES; hours on two cores, most of
# them for the networks. What is rendered, trained or measured already is kept.
leaderboard: setup
	$(MAKE) crossscale-checkpoint diar-checkpoint dmaligner-checkpoint adm-checkpoint boards
	$(if $(PICTURES),ln -sfn $(abspath $(PICTURES)) $(BOARD)/photographs)
	$(BIN)/raylign evaluate --data $(addprefix $(BOARD)/,parallax prints sidar dsia fundus $(if $(PICTURES),photographs)) \
		--methods all 'crossscale[adapt=0,start=network]' --limit $(LIMIT) --gallery 1 --name leaderboard \
		--markdown README.md docs/results/leaderboard.md --csv docs/results/leaderboard.csv

# What the tables are measured on: rendered pairs and sets that nothing is trained on.
boards: board-parallax board-prints board-sidar board-dsia board-fundus

board-parallax: RENDERED := parallax --scenes 100 --seed 5 $(RENDER) 0.01
board-prints: RENDERED := sidar --scenes 22 --seed 6 $(RENDER) 0.04 --preset handheld --scene.frames 8
board-sidar: RENDERED := sidar --scenes 22 --seed 7 $(RENDER) 0.04 --scene.frames 8
board-dsia: RENDERED := dsia --scenes 45 --seed 8 $(RENDER) 0.02 --scene.aspect 1
board-fundus: RENDERED := fundus --scenes 66 --seed 9 $(RENDER) 0.02
board-%: setup
	$(BIN)/raylign render $(RENDERED) --out $(BOARD)/$*

# The cross-scale network of the tables: 30 minutes on two cores. What is rendered or trained already is kept.
MATCHING := --data $(STUDY)/collage --loop.schedule cosine --loop.warmup-steps 40 --loop.weight-decay 0.01 --loop.ema 0.995 \
	--loop.val-pairs 32 --model.head matching --model.backbone resnet18 --model.input-norm picture \
	--augment.same-frame-probability 1 --augment.view-probability 1 --augment.shift 0.2 --augment.zoom 0.5 0.9 \
	--augment.colour 0.2 --augment.contrast 0.3 --augment.gamma 0.3 --augment.blur 1 --augment.noise 0.03 \
	--augment.jpeg 50 --augment.flip 0.5 --backend plain --resume
crossscale-checkpoint: collage
	$(BIN)/raylign train crossscale --name matching $(MATCHING) --model.working-size 192 \
		--loop.epochs 10 --loop.steps-per-epoch 130 --loop.batch-size 8 --loop.lr 1e-3 --loop.val-every 2
	$(BIN)/raylign train crossscale --name matching-512 $(MATCHING) --model.working-size 512 --model.mesh 25 25 \
		--loop.start-from runs/train/matching/checkpoint --loop.epochs 1 --loop.steps-per-epoch 60 --loop.batch-size 2 \
		--loop.lr 1e-4

collage: setup
	$(BIN)/raylign render collage --scenes 2600 --size 320 --seed 11 --out $(STUDY)/collage --val-fraction 0.05 --test-fraction 0.05

# The numbers of docs/results/crossscale.md; the study alone takes 45 minutes. What is rendered or trained already is kept.
crossscale: crossscale-checkpoint board-parallax
	$(BIN)/raylign evaluate --data $(BOARD)/parallax --name crossscale-parallax --methods sift sift-mesh \
		$(PASSES)
	$(BIN)/raylign study docs/studies/crossscale.yaml --markdown docs/results/crossscale.md
	$(if $(PICTURES),$(BIN)/raylign data convert $(PICTURES) $(STUDY)/photographs --split B --size 512)
	$(if $(PICTURES),$(BIN)/raylign evaluate --data $(STUDY)/photographs --name crossscale-photographs --workers 1 --threads 2 \
		--methods identity sift apap sift-mesh dis-flow $(PASSES) \
		--markdown docs/results/crossscale.md)

# The numbers of docs/results/diar.md: hours on two cores. What is rendered or trained already is kept.
DIAR_TRAIN := --data $(DIAR)/train --backend plain --resume --model.descriptor-share 0 --model.width 32 \
	--model.working-size 64 --loop.epochs 3 --loop.steps-per-epoch 100 --loop.batch-size 8 --loop.lr 1e-3 \
	--loop.weight-decay 0 --loop.val-every 3 --loop.val-pairs 4 --loop.val-pictures 4 --augment.flip 0.5
# All of them align alike, so that restorations are compared.
DIAR_COMPARED := $(DIAR_TRAIN) --model.descriptors runs/train/diar/checkpoint
CLASSICAL_SETS := mean median weiss rpca
DIAR_NETWORKS := diar-deepsets diar-average diar-softmax-1 diar-softmax-2 diar-softmax-3 diar
diar: diar-networks misaligned
	$(BIN)/raylign render sidar --scenes 101 --scene.frames 50 --seed 23 --scene.aligned --val-fraction 0 \
		--test-fraction 0.99 --shard-size 4 --out $(DIAR)/aligned $(SHOTS)
	$(BIN)/raylign evaluate --data $(DIAR)/aligned --tasks aligned --lengths 1 2 5 10 20 50 --name diar-aligned \
		--methods $(CLASSICAL_SETS) $(DIAR_NETWORKS) --chart docs/results/diar-aligned.png \
		--markdown docs/results/diar.md docs/results/diar-tables.md
	$(BIN)/raylign evaluate --data $(DIAR)/misaligned --tasks set --lengths 10 --limit 8 --name diar-homographies \
		--methods median diar 'diar[bundle=false]' 'diar[refine=false]' 'diar[bundle=false,refine=false]'
	$(BIN)/raylign evaluate --data $(DIAR)/misaligned --tasks set --lengths 2 5 10 20 50 --limit 8 --name diar-sets \
		--methods median diar
	test -f $(DIAR)/found/dataset.json || \
		$(BIN)/python -m tests.benchmarks.align_sets runs/train/diar/checkpoint $(DIAR)/misaligned $(DIAR)/found
	$(BIN)/raylign evaluate --data $(DIAR)/found $(DIAR)/misaligned --tasks aligned --lengths 2 5 10 20 50 \
		--name diar-misaligned --methods $(CLASSICAL_SETS) $(DIAR_NETWORKS) \
		--chart docs/results/diar-misaligned.png --markdown docs/results/diar-misaligned-tables.md
	$(if $(PICTURES),$(BIN)/raylign evaluate --data $(PICTURES)#A --name diar-photographs \
		--methods sift affine-sift diar 'diar[refine=false]')

misaligned: setup
	$(BIN)/raylign render sidar --scenes 101 --scene.frames 50 --seed 22 --val-fraction 0 --test-fraction 0.99 \
		--shard-size 4 --out $(DIAR)/misaligned $(SHOTS)

diar-networks: diar-checkpoint
	$(BIN)/raylign train diar --name diar-deepsets $(DIAR_COMPARED) --model.aggregation deepsets
	$(BIN)/raylign train diar --name diar-average $(DIAR_COMPARED) --model.aggregation average
	$(BIN)/raylign train diar --name diar-softmax-1 $(DIAR_COMPARED) --model.aggregation softmax
	$(BIN)/raylign train diar --name diar-softmax-2 $(DIAR_COMPARED) --model.aggregation softmax \
		--model.temporal-window 2
	$(BIN)/raylign train diar --name diar-softmax-3 $(DIAR_COMPARED) --model.aggregation softmax \
		--model.temporal-window 3

shots: setup
	$(BIN)/raylign render sidar --scenes 420 --seed 21 --scene.aligned --val-fraction 0.05 --test-fraction 0 \
		--out $(DIAR)/train $(SHOTS)

# The restoring network of the tables.
diar-checkpoint: shots
	$(BIN)/raylign train diar --name diar-softmax-1-picture $(DIAR_TRAIN) --model.aggregation softmax --model.skip picture
	$(BIN)/raylign train diar --name diar --data $(DIAR)/train --backend plain --resume \
		--loop.start-from runs/train/diar-softmax-1-picture/checkpoint --model.descriptor-share 1 --model.width 32 \
		--model.skip picture --model.working-size 96 --loop.epochs 3 --loop.steps-per-epoch 80 --loop.batch-size 8 \
		--loop.lr 1e-3 --loop.val-every 3 --loop.val-pairs 4 --loop.val-pictures 4 --augment.flip 0.5 \
		--augment.colour 0.2 --augment.contrast 0.3 --augment.gamma 0.3 --augment.blur 1 --augment.noise 0.03

# The networks of the tables that draw views: trained on crops at the pictures' own scale, small ones for the autoencoder.
DRAWING := --data $(DYNAMIC)/people --loop.schedule cosine --loop.warmup-steps 100 --loop.weight-decay 0.01 --loop.ema 0.999 \
	--loop.lr 1e-3 --loop.val-pairs 16 --loop.val-every 3 --augment.view-probability 1 --augment.same-frame-probability 0 \
	--augment.shift 0.02 --augment.brightness 0.2 --augment.colour 0.1 --augment.flip 0.5 --loop.steps-per-epoch 200 \
	--model.latent-channels 8 --model.vae-channels 32 64 64 \
	--model.channels 48 --model.multipliers 1 2 2 --model.blocks 1 --model.attention-levels 1 --backend plain --resume
DRAWN := 'dmaligner[steps=50]' 'dmaligner[steps=4]' 'dmaligner[steps=2]' 'dmaligner[solver=dpm,steps=4]' \
	'dmaligner[solver=student]' 'dmaligner[solver=student,student_steps=4]' \
	'dmaligner[keep_pixels=true]' 'dmaligner[carry_detail=false]'

# The numbers of docs/results/dmaligner.md; with the narrow LoFTR if that is trained.
dmaligner: dmaligner-checkpoint still board-dsia
	$(BIN)/raylign evaluate --data $(BOARD)/dsia --name dmaligner --methods identity sift sift-mesh dis-flow dmaligner \
		$(DRAWN) $(if $(wildcard runs/train/loftr.safetensors),loftr $(LOFTR)) \
		--markdown docs/results/dmaligner.md docs/results/dmaligner-tables.md --json $(BOARD)/dmaligner.json
	$(BIN)/python -m tests.benchmarks.drawing_bounds runs/train/dmaligner/checkpoint $(BOARD)/dsia
	$(if $(PICTURES),$(BIN)/python -m tests.benchmarks.real_flow $(PICTURES)#D identity sift sift-mesh dis-flow dmaligner)
	$(BIN)/raylign study docs/studies/dmaligner.yaml --markdown docs/results/dmaligner-study.md

dmaligner-checkpoint: dmaligner-vae
	$(BIN)/raylign train dmaligner --name dmaligner $(DRAWING) --model.vae runs/train/dmaligner-vae/checkpoint \
		--model.geometry plane --model.copies --model.share-weight 0.1 --model.timestep-power 3 --model.student-share 0.25 \
		--loop.epochs 12 --loop.batch-size 2 --model.working-size 192 --augment.zoom 0.75 1

# The autoencoder of all of them; the epoch after its six is of no use.
dmaligner-vae: people
	$(BIN)/raylign train dmaligner --name dmaligner-vae $(DRAWING) --model.vae-share 0.85 --loop.epochs 7 \
		--loop.batch-size 8 --model.working-size 96 --augment.zoom 0.375 0.5

people: setup
	$(BIN)/raylign render dsia --scenes 300 --size 256 --scene.aspect 1 --seed 1 --out $(DYNAMIC)/people

# The same scenes with nothing that moves but the camera.
still: people
	$(BIN)/python -m tests.benchmarks.still_pairs $(DYNAMIC)/people $(DYNAMIC)/still

# The network of the tables that registers retinas.
EYES := runs/adm
REGISTERING := --data $(EYES)/eyes --loop.schedule cosine --loop.warmup-steps 60 --loop.weight-decay 0.01 \
	--loop.ema 0.998 --loop.batch-size 16 --loop.lr 6e-4 --loop.val-pairs 32 --loop.val-every 2 \
	--augment.view-probability 0.9 --augment.same-frame-probability 0.15 --augment.zoom 0.75 1 --augment.shift 0.15 \
	--augment.brightness 0.2 --augment.colour 0.15 --augment.gamma 0.2 --augment.noise 0.02 --augment.flip 0.5 \
	--model.working-size 128 --model.homography-scale 1.7 0.3 0.6 0.3 1.7 0.55 0.06 0.06 --model.homography-network cnn \
	--model.keypoints 64 --model.prediction clean --model.iterated-share 0.3 --model.score-width 256 --model.score-layers 4 \
	--model.dropout 0 --model.vessels learned --model.vessel-share 0.05 --model.denoiser-channels 16 --model.displacement-weight 0 1 \
	--model.early-share 0.85 --backend plain --resume

# The numbers of docs/results/adm.md.
adm: adm-checkpoint board-fundus
	$(BIN)/raylign evaluate --data $(BOARD)/fundus --name adm --methods identity sift affine-sift orb adm \
		'adm[start=noise]' 'adm[start=noise,iterations=1]' 'adm[start=noise,guidance=0]' 'adm[start=noise,refinement=60]' \
		--markdown docs/results/adm-tables.md --json $(EYES)/tables.json
	$(BIN)/raylign evaluate --data $(BOARD)/fundus --name adm-steps --limit 12 --json $(EYES)/steps.json \
		--methods 'adm[start=noise,iterations=1]' \
		'adm[start=noise,iterations=1,solver=ancestral,steps=100,displacement_steps=500]'
	$(BIN)/raylign evaluate --data $(BOARD)/fundus --name adm-degraded --limit 20 --methods sift orb adm \
		--degrade noise:1 noise:2 noise:3 blur:1 blur:2 blur:3 low-light:1 low-light:2 low-light:3 \
		--json $(EYES)/degraded.json
	$(BIN)/raylign study docs/studies/adm.yaml --markdown docs/results/adm-study.md

adm-checkpoint: eyes
	$(BIN)/raylign train adm --name adm $(REGISTERING) --loop.epochs 20 --loop.steps-per-epoch 80

eyes: setup
	$(BIN)/raylign render fundus --scenes 320 --size 256 --seed 31 --val-fraction 0.1 --test-fraction 0 \
		--scene.share-wide 0.6 --scene.share-much 0.2 --scene.share-little 0.15 --scene.share-later 0.05 --out $(EYES)/eyes

# The numbers of docs/results/loftr.md. What is rendered or trained already is kept.
LOFTR := --weights loftr=runs/train/loftr.safetensors
loftr: loftr-checkpoint misaligned board-parallax board-dsia board-fundus
	$(BIN)/raylign evaluate --data $(addprefix $(BOARD)/,parallax dsia fundus) --name loftr $(LOFTR) \
		--methods identity sift affine-sift orb dis-flow loftr --markdown docs/results/loftr.md
	$(BIN)/raylign evaluate --data $(DIAR)/misaligned --tasks pair --limit 800 --name loftr-sets --gallery 0 $(LOFTR) \
		--methods sift loftr
	$(if $(PICTURES),$(BIN)/raylign evaluate --data $(PICTURES)#A --name loftr-photographs --gallery 0 $(LOFTR) \
		--methods sift affine-sift loftr)

# A narrow LoFTR, for where its published weights are not at hand: 50 minutes on the data of three methods.
loftr-checkpoint: collage shots eyes
	test -f runs/train/loftr.safetensors || $(BIN)/python -m tests.benchmarks.train_loftr \
		runs/train/loftr.safetensors 2400 $(STUDY)/collage $(DIAR)/train $(EYES)/eyes

# Most tests are of one thread: two processes share them, file by file.
test: setup
	$(BIN)/python -m pytest -m 'not slow and not bench' -n 2 --dist loadfile --no-loadscope-reorder --durations 40

test-slow: setup
	$(BIN)/python -m pytest -m slow

# Nothing else should run meanwhile.
bench: setup
	$(BIN)/python -m pytest -m bench -s -q

lint: setup
	$(BIN)/ruff check $(ROOMS)
	$(BIN)/ruff format --check $(ROOMS)
	MYPYPATH=.typing $(BIN)/mypy --namespace-packages --explicit-package-bases $(addprefix -p ,$(TYPED))

format: setup
	$(BIN)/ruff check --fix $(ROOMS)
	$(BIN)/ruff format $(ROOMS)

clean:
	rm -rf $(VENV) .typing build *.egg-info .mypy_cache .ruff_cache .pytest_cache
