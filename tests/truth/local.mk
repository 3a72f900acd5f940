# SPDX-License-Identifier: BSD-3-Clause
#
# The independent answer that the monitor engine is compared to: model.py, which says what is true about each flow of a
# capture; make.py and kernel.sh, which make captures; compare.py, which compares answers.

dist_noinst_SCRIPTS += tests/truth/check_model.sh tests/truth/kernel.sh
EXTRA_DIST += tests/truth/capture.py tests/truth/check.py tests/truth/compare.py tests/truth/craft.py tests/truth/follow.py tests/truth/make.py \
	tests/truth/model.py tests/truth/scenes_life.py tests/truth/scenes_text.py tests/truth/scenes_wire.py \
	tests/truth/segments.py tests/truth/states.py tests/truth/test_model.py tests/truth/thin.py tests/truth/transfer.py \
	tests/truth/wire.py

dist_check_SCRIPTS += tests/truth/test_model.sh
TESTS += tests/truth/test_model.sh
