# SPDX-License-Identifier: BSD-3-Clause

# the folders are make's variables, not configure's, so the unit is made here
nodist_systemdsystemunit_DATA = conf/stackd.service
CLEANFILES += conf/stackd.service
conf/stackd.service: conf/stackd.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) conf && $(SED) -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g' \
		-e 's|@SERVICE_TYPE[@]|$(SERVICE_TYPE)|g' $(srcdir)/conf/stackd.service.in >$@

# sysusers.d and tmpfiles.d want names of their own: NAME.conf
install-data-local:
	$(MKDIR_P) "$(DESTDIR)$(sysusersdir)" "$(DESTDIR)$(tmpfilesdir)"
	$(INSTALL_DATA) $(srcdir)/conf/stackd.sysusers "$(DESTDIR)$(sysusersdir)/stackd.conf"
	$(INSTALL_DATA) $(srcdir)/conf/stackd.tmpfiles "$(DESTDIR)$(tmpfilesdir)/stackd.conf"
	$(MKDIR_P) "$(DESTDIR)$(stackdconfdir)"
	@conf="$(DESTDIR)$(stackdconfdir)/stackd.conf"; \
	if test -e "$$conf"; then echo "$$conf is there already and stays as it is"; \
	else $(INSTALL_DATA) $(srcdir)/conf/stackd.conf "$$conf"; fi

# a configuration that was never changed goes, another one stays
uninstall-local:
	@conf="$(DESTDIR)$(stackdconfdir)/stackd.conf"; \
	if cmp -s $(srcdir)/conf/stackd.conf "$$conf"; then rm -f "$$conf"; fi
	rm -f "$(DESTDIR)$(sysusersdir)/stackd.conf" "$(DESTDIR)$(tmpfilesdir)/stackd.conf"

EXTRA_DIST += conf/stackd.service.in conf/stackd.sysusers conf/stackd.tmpfiles
